//! The steps of records of one shape: of a few dozen shapes are nearly all records of a file.
//!
//! In: the shape of each record. Out: the steps for it, once it was seen so often that it pays to put into place what it settles. Those of
//! other shapes are written by all steps; the bytes are the same.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::program::Program;
use crate::shape::Shape;

/// Shapes kept are at most so many.
const SHAPES_MAX: usize = 1 << PLACE_BITS;
const PLACE_BITS: u32 = 8;

/// A shape pays for its steps after so many records.
const SEEN_MIN: u8 = 16;

#[derive(Debug, Default)]
pub(super) struct Folded {
    /// By [`Shape::place`]; whoever comes first stays. Empty until the first record.
    places: Vec<Option<Known>>,
    n_programs: usize,
}

#[derive(Debug)]
struct Known {
    shape: Shape,
    n_seen: u8,
    program: Option<Box<Program>>,
}

impl Folded {
    /// The steps of a shape, where `all` are those of any, and whether its own are to be worked out now.
    #[inline(always)]
    pub(super) fn of<'p>(&'p mut self, shape: Shape, all: &'p Program) -> (&'p Program, bool) {
        let place = shape.place::<PLACE_BITS>();
        if !matches!(self.places.get(place), Some(Some(_))) {
            self.meet(shape);
        }
        match self.places.get_mut(place) {
            Some(Some(known)) if known.shape == shape => match &known.program {
                Some(program) => (program, false),
                None => {
                    known.n_seen = known.n_seen.saturating_add(1);
                    (all, known.n_seen == SEEN_MIN)
                }
            },
            Some(Some(_) | None) | None => (all, false),
        }
    }

    #[cold]
    fn meet(&mut self, shape: Shape) {
        if self.places.is_empty() {
            self.places.resize_with(SHAPES_MAX, || None);
        }
        self.places[shape.place::<PLACE_BITS>()] = Some(Known { shape, n_seen: 0, program: None });
    }

    /// Keeps the steps of a shape that [`Folded::of`] has asked for.
    #[cold]
    pub(super) fn keep(&mut self, shape: Shape, program: Program) {
        if let Some(Some(known)) = self.places.get_mut(shape.place::<PLACE_BITS>()) {
            known.program = Some(Box::new(program));
            self.n_programs += 1;
        }
    }
}

/// Where a format leaves what was worked out for one file to the next.
#[derive(Debug, Default)]
pub(super) struct Shelf {
    folded: Mutex<Folded>,
    header_bytes: AtomicUsize,
}

impl Shelf {
    /// What there is. Whoever comes meanwhile begins anew.
    pub(super) fn take(&self) -> Folded {
        self.folded.lock().map(|mut kept| std::mem::take(&mut *kept)).unwrap_or_default()
    }

    pub(super) fn give_back(&self, folded: Folded) {
        if let Ok(mut kept) = self.folded.lock()
            && kept.n_programs <= folded.n_programs
        {
            *kept = folded;
        }
    }

    pub(super) fn header_bytes(&self) -> usize {
        self.header_bytes.load(Ordering::Relaxed)
    }

    pub(super) fn note_header_bytes(&self, n_bytes: usize) {
        self.header_bytes.store(n_bytes, Ordering::Relaxed);
    }
}

impl Clone for Shelf {
    /// An empty one: it is filled again within a few records.
    fn clone(&self) -> Self {
        Self::default()
    }
}
