//! Slot files through their public API, on the real file system and on a scripted disk.

mod anew;
mod bad_input;
mod catalogue;
mod creation;
mod disk;
mod faults;
mod growth;
mod host;
mod latch;
mod locks;
mod model;
mod names;
mod place;
mod processes;
mod reference_mistakes;
mod removal;
mod systems;
mod temporary;
mod vectored;
