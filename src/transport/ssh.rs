//! SSH: what is known before a connection is made.
//!
//! Why it exists: whom to reach, by which keys, and whose host key to believe is decided here without a byte on the wire.

pub mod agent;
pub mod config;
pub mod key_file;
pub mod known_hosts;
