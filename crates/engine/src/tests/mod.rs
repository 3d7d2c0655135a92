//! What the engine's tests share.

pub(crate) mod world;
