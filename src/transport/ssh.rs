//! SSH: what is known before a connection is made.
//!
//! Why it exists: whom to reach, by which keys, and whose host key to believe is decided here without a byte on the wire.

pub mod known_hosts;
