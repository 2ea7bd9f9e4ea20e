//! The figures of a running switch, readable from any thread.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::Counters;

macro_rules! stats {
    ($($field:ident),+ $(,)?) => {
        /// Figures of a running switch: stored by its task, read by anybody.
        #[derive(Debug, Default)]
        pub struct SwitchStats {
            $($field: AtomicU64,)+
        }

        impl SwitchStats {
            /// What they are now. Each is right for itself; together they may be a moment apart.
            pub fn load(&self) -> Counters {
                Counters { $($field: self.$field.load(Ordering::Relaxed),)+ }
            }

            pub(crate) fn store(&self, counters: &Counters) {
                $(self.$field.store(counters.$field, Ordering::Relaxed);)+
            }
        }
    };
}

stats! {
    calls_active, contacts_active, calls, calls_answered, calls_rejected, calls_shed, registrations, challenges,
    auth_failed, malformed, datagrams, dropped, bans_active, calls_without_credit,
}
