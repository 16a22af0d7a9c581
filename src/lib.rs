//! hawiz: an interactive failover wizard.
pub mod catalog;
pub mod event;
pub mod plan;
pub mod playbook;
pub mod problem;
pub mod prompt;
pub mod reach;
pub mod shell;
pub mod site;
