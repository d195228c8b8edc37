//! Detection: rules, and what they hold a fact against.
//!
//! A rule lives in one file with its cases. It sees facts as the world hears of them, asks the baseline whether
//! such a thing is usual for the service, and raises a [`Case`](crate::cases::Case). What it saw becomes part
//! of the baseline by [`Baseline::observe`], unless it turns out to be bad.

mod baseline;
mod endpoint;
mod habit;
pub mod net;
pub mod process;
mod route;
mod shape;
pub mod smuggling;
mod technique;

pub use baseline::{Baseline, Seen, Usual};
pub use habit::{Habit, NoHabit};
pub use route::route;
pub use shape::shape;
pub use technique::techniques;

use crate::{graph::NodeId, world::World};

/// A span is about to leave: all of it is known now.
pub fn ended(world: &mut World, id: NodeId) {
    endpoint::served(world, id);
    net::ended(world, id);
}
