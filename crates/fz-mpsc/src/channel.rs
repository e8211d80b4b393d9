//! Making a queue.

use crate::gate::Gate;
use crate::ring::Ring;
use crate::sync::Arc;
use crate::wake::ConsumerWaker;
use crate::{QueueConfig, QueueError, QueueErrorKind, Receiver, Result, Sender};

/// Makes a queue and returns its two ends.
///
/// All of its memory is taken here. Does not block.
///
/// # Errors
///
/// [`QueueErrorKind::ZeroCapacity`], [`QueueErrorKind::CapacityTooLarge`] or
/// [`QueueErrorKind::OutOfMemory`].
///
/// ```
/// use fz_mpsc::{QueueConfig, channel};
///
/// let (sender, mut receiver) = channel(QueueConfig::new(64))?;
/// assert_eq!(sender.try_push("first"), Ok(1));
/// let mut values = Vec::new();
/// receiver.drain(&mut values, usize::MAX);
/// assert_eq!(values, ["first"]);
/// # Ok::<(), fz_mpsc::QueueError>(())
/// ```
pub fn channel<T: Send>(config: QueueConfig) -> Result<(Sender<T>, Receiver<T>)> {
    make(config, ConsumerWaker::new(None))
}

/// Makes a queue whose consumer sleeps in a way of its own, and is woken by `wake`.
///
/// The call that ends an announced sleep ([`Receiver::announce_sleep`](crate::Receiver::announce_sleep)) calls `wake`:
/// the first push after the announcement, once its value can be drained, or the close. Once for each announcement.
/// `wake` runs in that caller's thread, under no lock of the queue, so keep it short. A panic in it ends there, and the
/// push or close is done. The `wait` methods work too, and their sleeps call `wake` as well.
///
/// # Errors
///
/// As [`channel`].
///
/// ```
/// use std::thread;
/// use fz_mpsc::{QueueConfig, channel_with_wake};
///
/// let consumer = thread::current();
/// let (sender, mut receiver) = channel_with_wake(QueueConfig::new(64), move || consumer.unpark())?;
/// let producer = thread::spawn(move || sender.push("value").unwrap());
///
/// let mut values = Vec::new();
/// while !receiver.is_finished() {
///     if receiver.drain(&mut values, usize::MAX) == 0 && receiver.announce_sleep()? {
///         thread::park(); // may wake for no reason, hence the loop
///     }
/// }
/// assert_eq!(values, ["value"]);
/// # producer.join().unwrap();
/// # Ok::<(), fz_mpsc::QueueError>(())
/// ```
pub fn channel_with_wake<T: Send>(
    config: QueueConfig,
    wake: impl Fn() + Send + Sync + 'static,
) -> Result<(Sender<T>, Receiver<T>)> {
    make(config, ConsumerWaker::new(Some(Box::new(wake))))
}

fn make<T: Send>(config: QueueConfig, consumer: ConsumerWaker) -> Result<(Sender<T>, Receiver<T>)> {
    let QueueConfig { capacity, module_id } = config;
    let refuse = |kind| QueueError::new(module_id, "channel", kind);
    if capacity == 0 {
        return Err(refuse(QueueErrorKind::ZeroCapacity));
    }
    let capacity_max = QueueConfig::CAPACITY_MAX;
    let too_large = || refuse(QueueErrorKind::CapacityTooLarge { capacity, capacity_max });
    if capacity > capacity_max {
        return Err(too_large());
    }
    let gate = Gate::new(u64::try_from(capacity).map_err(|_| too_large())?, module_id, consumer);
    let gate = Arc::new(gate);
    let (ring, outlet) = Ring::new(&gate).ok_or_else(|| {
        refuse(QueueErrorKind::OutOfMemory {
            capacity,
            cells: Ring::<T>::cells_for(capacity),
            cell_bytes: Ring::<T>::CELL_BYTES,
        })
    })?;
    Ok((Sender::new(Arc::clone(&gate), ring), Receiver::new(gate, outlet)))
}
