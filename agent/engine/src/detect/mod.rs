//! The rules: what is worth a finding. Each has a room of its own with its cases.

pub mod smuggling;
