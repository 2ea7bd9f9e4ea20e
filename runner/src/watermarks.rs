//! Which records of which origin have been applied: what makes a replay harmless.

use std::collections::{HashMap, HashSet};

use model::{Origin, Text};
use store::Watermark;

/// Per origin lane, the highest (offset, index) applied.
pub struct Watermarks {
    highest: HashMap<(Text, u32), (u64, u32)>,
    /// Those that rose since they were last taken for a commit.
    risen: HashSet<(Text, u32)>,
}

impl Watermarks {
    /// As loaded.
    pub fn new(loaded: Vec<Watermark>) -> Self {
        let highest = loaded
            .into_iter()
            .map(|mark| ((mark.stage.into(), mark.partition), (mark.offset, mark.index)))
            .collect();
        Self { highest, risen: HashSet::new() }
    }

    /// Whether a record of this origin is a replay.
    pub fn has_seen(&self, origin: Option<&Origin>) -> bool {
        let Some(origin) = origin else { return false };
        let seen = self.highest.get(&(origin.stage.clone(), origin.partition));
        seen.is_some_and(|seen| *seen >= (origin.offset, origin.index))
    }

    /// Whether a record of this origin is new; if so it is remembered. Records from outside always are.
    pub fn admit(&mut self, origin: Option<&Origin>) -> bool {
        let Some(origin) = origin else { return true };
        let lane = (origin.stage.clone(), origin.partition);
        let at = (origin.offset, origin.index);
        if self.highest.get(&lane).is_some_and(|seen| *seen >= at) {
            return false;
        }
        self.highest.insert(lane.clone(), at);
        self.risen.insert(lane);
        true
    }

    /// What rose since the last call, for the commit.
    pub fn take_risen(&mut self) -> Vec<Watermark> {
        let mut risen: Vec<Watermark> = self
            .risen
            .drain()
            .filter_map(|lane| {
                let (offset, index) = *self.highest.get(&lane)?;
                Some(Watermark { stage: lane.0.into(), partition: lane.1, offset, index })
            })
            .collect();
        risen.sort_by(|a, b| (&a.stage, a.partition).cmp(&(&b.stage, b.partition)));
        risen
    }
}
