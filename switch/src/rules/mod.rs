//! Calling rules, compiled: how numbers are rewritten, what may be dialled, how fast.
//!
//! In: the rules as provisioned (`model::CallingRules`). Out: things that answer at the speed of calls, in time linear to the length of
//! what they look at, whatever the pattern. What does not compile is refused where it is provisioned, by [`check_calling`]; a snapshot
//! that holds such a rule all the same leaves that rule out.

mod bucket;
mod check;
mod pattern;
mod rewrite;

pub(crate) use bucket::{Bucket, Rate};
pub use check::{CallingOf, canonical_network, check_calling, is_network};
pub(crate) use pattern::{Permission, ShellList};
pub(crate) use rewrite::{Crossing, NumberPlan, Places, RewriteTables};
pub use rewrite::{Rewritten, rewrite};
