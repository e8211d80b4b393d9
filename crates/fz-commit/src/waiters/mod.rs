//! The callers that wait: what is durable, and how each of them is told.

mod notices;
mod progress;
mod wait_word;

pub(crate) use notices::{Notice, Registration};
pub(crate) use progress::{Progress, Published, Rounds};
pub(crate) use wait_word::WaitWord;
