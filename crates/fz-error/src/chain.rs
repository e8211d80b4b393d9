//! The way from an error to its causes.

use std::error::Error as StdError;
use std::io;
use std::sync::Arc;

type Cause = dyn StdError + 'static;

/// The error inside the smart pointers, which are errors themselves and hide its type.
fn inside(mut error: &Cause) -> &Cause {
    loop {
        error = if let Some(shared) = error.downcast_ref::<Arc<io::Error>>() {
            &**shared
        } else if let Some(owned) = error.downcast_ref::<Box<io::Error>>() {
            &**owned
        } else if let Some(shared) = error.downcast_ref::<Arc<dyn StdError + Send + Sync>>() {
            &**shared
        } else if let Some(shared) = error.downcast_ref::<Arc<Cause>>() {
            &**shared
        } else {
            return error;
        };
    }
}

/// `first` and its causes. An [`io::Error`]'s cause is the error that it was made of, which its `source` skips.
pub(crate) fn chain(first: Option<&Cause>) -> impl Iterator<Item = &Cause> {
    std::iter::successors(first.map(inside), |&error| cause_of(error).map(inside))
}

fn cause_of(error: &Cause) -> Option<&Cause> {
    match error.downcast_ref::<io::Error>() {
        Some(io) => io.get_ref().map(|made_of| made_of as &Cause),
        None => error.source(),
    }
}
