//! How the power of a node is cut: the texts around ClusterLabs fence agents.
//!
//! Why it exists: a fence agent (`fence_ipmilan`, `fence_vmware_rest`, …) takes `name=value` lines on its standard input and
//! is the one program that can say of a node that does not answer that it is off.
//!
//! Invariants: options travel on standard input only; *off* is exit code 2 and the word, from `status`; 0 is on, all else is
//! not known; `reboot` is never sent.

use crate::shell::{Value, quote};

fn calls(function: &str, agent: &str) -> Value {
    Value([function.as_bytes(), b" ", &quote(agent.as_bytes())].concat())
}

/// A look: is the agent installed?
pub fn installed(agent: &str) -> Value {
    calls("agent_is_here", agent)
}

/// The change itself.
pub fn off(agent: &str) -> Value {
    Value(quote(agent.as_bytes()))
}

/// A look: does the device say that the power is off?
pub fn is_off(agent: &str) -> Value {
    calls("power_is_off", agent)
}
