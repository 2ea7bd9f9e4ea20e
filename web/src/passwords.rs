//! Names and passwords, wherever they are given: argon2id, and guessing made slow for all doors together.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use argon2::Argon2;
use argon2::password_hash::PasswordVerifier;
use argon2::password_hash::phc::PasswordHash;
use model::Moment;
use store::{Store, User};
use tokio::sync::Semaphore;

use crate::role::Role;
use crate::second_factor::{CODE_DIGITS, is_recovery_code, recovery_hash, step_of};

/// Failures of one name before it must wait.
const FAILURES_MAX: u32 = 5;

/// And for how long. Anybody who knows a name can make its owner wait, so that never grows: passwords are long.
const WAIT: Duration = Duration::from_secs(60);

/// Each further failure at a code doubles the wait up to this. Three in a million are right at any time; only who knows the password
/// can make anybody wait.
const CODE_WAIT_MAX: Duration = Duration::from_secs(4 * 3600);

/// Failures at codes are forgotten so long after the last of them; those of a name as soon as a wait would be over.
const CODE_MEMORY: Duration = Duration::from_secs(24 * 3600);

/// Names remembered at once; beyond that the oldest failure is forgotten.
const NAMES_MAX: usize = 10_000;

/// Passwords hashed at once: each takes 19 MB and some ten milliseconds of a core.
const HASHES_AT_ONCE: usize = 2;

/// Why a name and a password open nothing.
#[derive(Debug)]
pub enum PasswordRefused {
    /// One of them is wrong; which is not said.
    Wrong,
    /// Too many attempts; so long has the name still to wait.
    Wait(Duration),
    /// The user's role opens nothing without a second factor, which is set up at the console.
    NotEnrolled,
    /// Our own failure.
    Failed(String),
}

/// Knows who signs in with which password. Clones share their count of failures.
#[derive(Clone)]
pub struct Passwords {
    store: Store,
    throttle: Arc<Throttle>,
    clock: Arc<dyn Fn() -> Moment + Send + Sync>,
    /// Roles that open nothing without a second factor.
    two_factors: Arc<[Role]>,
}

/// What a code of the second factor was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Proof {
    /// The generator's.
    Code,
    /// A recovery code, which is used up.
    Recovery,
}

impl std::fmt::Debug for Passwords {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Passwords").finish_non_exhaustive()
    }
}

impl Passwords {
    /// Of the users in `store`; those of the roles `two_factors` need a second factor beside the password.
    pub fn new(
        store: Store,
        clock: Arc<dyn Fn() -> Moment + Send + Sync>,
        two_factors: impl Into<Arc<[Role]>>,
    ) -> Self {
        Self { store, throttle: Arc::default(), clock, two_factors: two_factors.into() }
    }

    /// Whether users of `role` need a second factor.
    pub(crate) fn needs_two_factors(&self, role: &str) -> bool {
        self.two_factors.iter().any(|needing| needing.as_str() == role)
    }

    /// Whose `name` and `password` they are, where nothing else can be asked: a user with a second factor writes its code behind the
    /// password, without a space.
    ///
    /// # Errors
    ///
    /// Why they open nothing.
    pub async fn check_alone(&self, name: &str, password: String) -> Result<User, PasswordRefused> {
        let known = self.store.user_by_name(name).await;
        let known = known.map_err(|why| PasswordRefused::Failed(why.to_string()))?;
        if known.is_none_or(|user| user.second_factor_since.is_none()) {
            let user = self.check(name, password).await?;
            let must_enrol = self.needs_two_factors(&user.role);
            return if must_enrol { Err(PasswordRefused::NotEnrolled) } else { Ok(user) };
        }
        let at = password.len().saturating_sub(CODE_DIGITS);
        // Without a code behind it the password is looked at all the same, so that both take the same time.
        let (password, code) = password.split_at_checked(at).unwrap_or((&password, ""));
        let user = self.check(name, password.to_owned()).await?;
        self.check_code(&user, code).await?;
        Ok(user)
    }

    /// Whether `given` is a code of the user's second factor, or one of the recovery codes; it is used up. An attempt counts as a
    /// wrong password does, before it is looked at: many at the same time are not more than one after the other. Beside that, waits
    /// for another code grow to hours: a code is short, and a right password does not begin their count anew. Recovery codes are long,
    /// and do not wait for hours.
    ///
    /// # Errors
    ///
    /// Why it opens nothing.
    pub(crate) async fn check_code(&self, user: &User, given: &str) -> Result<Proof, PasswordRefused> {
        let now = (self.clock)();
        if is_recovery_code(given) {
            self.throttle.names.attempt(&user.name, now.mono)?;
        } else {
            self.attempt_code(user, now.mono)?;
        }
        let proof = self.use_up(user, given, now).await?;
        self.forget_codes(user);
        Ok(proof)
    }

    /// The same for somebody who has signed in and gives a code once more. These attempts are counted by themselves: whoever has got hold
    /// of an open session keeps nobody from signing in.
    ///
    /// # Errors
    ///
    /// Why it opens nothing.
    pub(crate) async fn check_step_up(&self, user: &User, given: &str) -> Result<Proof, PasswordRefused> {
        let now = (self.clock)();
        let key = format!("open {}", code_key(user));
        self.throttle.codes.attempt(&key, now.mono)?;
        let proof = self.use_up(user, given, now).await?;
        self.throttle.codes.forget(&key);
        Ok(proof)
    }

    async fn use_up(&self, user: &User, given: &str, now: Moment) -> Result<Proof, PasswordRefused> {
        let failed = |why: store::StoreError| PasswordRefused::Failed(why.to_string());
        let factor = self.store.second_factor(user.id).await.map_err(failed)?;
        let factor = factor.filter(|factor| factor.since.is_some()).ok_or(PasswordRefused::Wrong)?;
        let proof = match step_of(&factor.secret, given, now.wall.timestamp()) {
            Some(step) => {
                self.store.second_factor_use(user.id, step).await.map_err(failed)?.then_some(Proof::Code)
            }
            None => {
                let hash = recovery_hash(given);
                let is_used = self.store.recovery_code_use(user.id, &hash, &user.name, now.wall).await;
                is_used.map_err(failed)?.then_some(Proof::Recovery)
            }
        };
        proof.ok_or(PasswordRefused::Wrong)
    }

    /// Counts an attempt at a code as a failure until it is known to be none.
    fn attempt_code(&self, user: &User, now: Duration) -> Result<(), PasswordRefused> {
        let (throttle, key) = (&self.throttle, code_key(user));
        let waits = [throttle.names.wait_of(&user.name, now), throttle.codes.wait_of(&key, now)];
        if let Some(left) = waits.into_iter().flatten().max() {
            return Err(PasswordRefused::Wait(left));
        }
        throttle.names.failed(&user.name, now);
        throttle.codes.failed(&key, now);
        Ok(())
    }

    fn forget_codes(&self, user: &User) {
        self.throttle.names.forget(&user.name);
        self.throttle.codes.forget(&code_key(user));
    }

    /// Whether `given` is the first code of `secret`, which the user is setting up; its step. Throttled as all codes are.
    ///
    /// # Errors
    ///
    /// Why it is not.
    pub(crate) fn check_first_code(
        &self,
        user: &User,
        secret: &str,
        given: &str,
    ) -> Result<i64, PasswordRefused> {
        let now = (self.clock)();
        self.attempt_code(user, now.mono)?;
        let step = step_of(secret, given, now.wall.timestamp()).ok_or(PasswordRefused::Wrong)?;
        self.forget_codes(user);
        Ok(step)
    }

    /// Whose `name` and `password` they are. What the password alone opens is for the caller to ask: see
    /// [`User::second_factor_since`].
    ///
    /// # Errors
    ///
    /// Why they open nothing.
    pub(crate) async fn check(&self, name: &str, password: String) -> Result<User, PasswordRefused> {
        if let Some(left) = self.throttle.names.wait_of(name, (self.clock)().mono) {
            return Err(PasswordRefused::Wait(left));
        }
        let failed = |why: &dyn std::fmt::Display| PasswordRefused::Failed(why.to_string());
        let user = self.store.user_by_name(name).await.map_err(|why| failed(&why))?;
        // An unknown name costs the same time as a wrong password, so that names cannot be told apart.
        let hash = match &user {
            Some(user) if !user.password_hash.is_empty() => user.password_hash.clone(),
            // So does somebody who was shut out.
            Some(_) | None => UNKNOWN_USER_HASH.to_owned(),
        };
        let permit = self.throttle.hashing.acquire().await.map_err(|why| failed(&why))?;
        // Of guesses that came in at once, those that waited here may have become too many meanwhile: they are not hashed.
        if let Some(left) = self.throttle.names.wait_of(name, (self.clock)().mono) {
            return Err(PasswordRefused::Wait(left));
        }
        let matches = tokio::task::spawn_blocking(move || {
            PasswordHash::new(&hash)
                .is_ok_and(|hash| Argon2::default().verify_password(password.as_bytes(), &hash).is_ok())
        })
        .await
        .unwrap_or(false);
        drop(permit);
        let Some(user) = user.filter(|user| matches && !user.password_hash.is_empty()) else {
            // The wait begins now: before its hash a guess may have stood in line for as long.
            self.throttle.names.failed(name, (self.clock)().mono);
            return Err(PasswordRefused::Wrong);
        };
        // Who knows the password and guesses at codes must not begin anew with each password.
        if user.second_factor_since.is_none() {
            self.throttle.names.forget(name);
        }
        Ok(user)
    }
}

/// By what attempts at codes are counted: a second factor that is set up anew begins anew.
fn code_key(user: &User) -> String {
    let since = user.second_factor_since.map_or(0, |since| since.timestamp_micros());
    format!("{} {since}", user.id)
}

/// Counts failures and holds the number of hashes at once.
struct Throttle {
    /// By name, of whatever is given with it.
    names: Failures,
    /// Of codes, by [`code_key`].
    codes: Failures,
    hashing: Semaphore,
}

impl Default for Throttle {
    fn default() -> Self {
        Self {
            names: Failures::of_names(),
            codes: Failures::of_codes(),
            hashing: Semaphore::new(HASHES_AT_ONCE),
        }
    }
}

/// Failures by key, and how long each makes wait.
struct Failures {
    wait_max: Duration,
    /// They are forgotten so long after the last of them.
    memory: Duration,
    /// How many, and when the last one was.
    failures: Mutex<HashMap<String, (u32, Duration)>>,
}

impl Failures {
    fn of_names() -> Self {
        Self { wait_max: WAIT, memory: WAIT, failures: Mutex::default() }
    }

    fn of_codes() -> Self {
        Self { wait_max: CODE_WAIT_MAX, memory: CODE_MEMORY, failures: Mutex::default() }
    }

    /// The wait after so many failures.
    fn wait_after(&self, count: u32) -> Duration {
        match count.checked_sub(FAILURES_MAX) {
            None => Duration::ZERO,
            Some(doubled) => {
                let times = 2_u32.checked_pow(doubled).unwrap_or(u32::MAX);
                WAIT.saturating_mul(times).min(self.wait_max)
            }
        }
    }

    /// How long `name` has still to wait.
    fn wait_of(&self, name: &str, now: Duration) -> Option<Duration> {
        let failures = self.failures.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let (count, last) = failures.get(name)?;
        let left = (*last + self.wait_after(*count)).saturating_sub(now);
        (!left.is_zero()).then_some(left)
    }

    /// Counts an attempt as a failure until it is known to be none.
    fn attempt(&self, name: &str, now: Duration) -> Result<(), PasswordRefused> {
        if let Some(left) = self.wait_of(name, now) {
            return Err(PasswordRefused::Wait(left));
        }
        self.failed(name, now);
        Ok(())
    }

    fn failed(&self, name: &str, now: Duration) {
        let mut failures = self.failures.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if failures.len() >= NAMES_MAX {
            failures.retain(|_, (count, last)| now.saturating_sub(*last) < self.wait_after(*count));
        }
        if failures.len() >= NAMES_MAX
            && let Some(oldest) =
                failures.iter().min_by_key(|(_, (_, last))| *last).map(|(name, _)| name.clone())
        {
            failures.remove(&oldest);
        }
        let entry = failures.entry(name.to_owned()).or_insert((0, now));
        let is_old = now.saturating_sub(entry.1) >= self.memory;
        *entry = (if is_old { 1 } else { entry.0.saturating_add(1) }, now);
    }

    fn forget(&self, name: &str) {
        self.failures.lock().unwrap_or_else(std::sync::PoisonError::into_inner).remove(name);
    }
}

/// A hash that no password has: it keeps an unknown name as slow as a known one.
const UNKNOWN_USER_HASH: &str =
    "$argon2id$v=19$m=19456,t=2,p=1$c2FsdHNhbHRzYWx0$zuMrMXSZZzEFZCjRUr9h1RBLk9NjVY4XWwNWRcyOSm0";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sixth_guess_must_wait_and_a_success_clears_the_count() {
        let throttle = Failures::of_names();
        for second in 0..5 {
            assert_eq!(throttle.wait_of("ada", Duration::from_secs(second)), None);
            throttle.failed("ada", Duration::from_secs(second));
        }
        assert_eq!(throttle.wait_of("ada", Duration::from_secs(5)), Some(Duration::from_secs(59)));
        assert_eq!(throttle.wait_of("ada", Duration::from_secs(64)), None);
        assert_eq!(throttle.wait_of("bob", Duration::from_secs(5)), None);
        throttle.forget("ada");
        assert_eq!(throttle.wait_of("ada", Duration::from_secs(5)), None);
    }

    #[test]
    fn each_wait_is_twice_the_one_before_and_a_day_without_a_failure_ends_them() {
        let codes = Failures::of_codes();
        let mut now = Duration::ZERO;
        let mut waits = Vec::new();
        for _ in 0..15 {
            now += codes.wait_of("1 0", now).unwrap_or_default();
            codes.failed("1 0", now);
            waits.push(codes.wait_of("1 0", now).map_or(0, |wait| wait.as_secs() / 60));
        }
        assert_eq!(waits, [0, 0, 0, 0, 1, 2, 4, 8, 16, 32, 64, 128, 240, 240, 240]);
        now += CODE_MEMORY;
        codes.failed("1 0", now);
        assert_eq!(codes.wait_of("1 0", now), None);
        // Whoever keeps somebody's name busy needs five guesses for each minute.
        let names = Failures::of_names();
        (0..1_000).for_each(|_| names.failed("ada", Duration::ZERO));
        assert_eq!(names.wait_of("ada", Duration::ZERO), Some(WAIT));
        names.failed("ada", WAIT);
        assert_eq!(names.wait_of("ada", WAIT), None);
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn guesses_that_come_in_at_once_are_refused_before_they_are_hashed() {
        let dir = tempfile::tempdir().unwrap();
        let url = format!("sqlite://{}", dir.path().join("t.db").display());
        let store = Store::open(&url).await.unwrap();
        let now = || Moment { wall: chrono::DateTime::UNIX_EPOCH, mono: Duration::from_secs(1) };
        let passwords = Passwords::new(store, Arc::new(now), []);
        let guesses = (0..40).map(|n| {
            let passwords = passwords.clone();
            tokio::spawn(async move { passwords.check("ada", format!("guess {n}")).await })
        });
        let (mut wrong, mut waiting) = (0, 0);
        for guess in guesses.collect::<Vec<_>>() {
            match guess.await.unwrap() {
                Err(PasswordRefused::Wrong) => wrong += 1,
                Err(PasswordRefused::Wait(_)) => waiting += 1,
                other => panic!("{other:?}"),
            }
        }
        // The five of a patient guesser, and those that were being hashed beside the last one.
        let allowed = FAILURES_MAX as usize..FAILURES_MAX as usize + HASHES_AT_ONCE;
        assert!(allowed.contains(&wrong), "{wrong} were hashed");
        assert_eq!(wrong + waiting, 40);
    }

    #[tokio::test]
    async fn wait_begins_when_the_guess_was_found_wrong() {
        let dir = tempfile::tempdir().unwrap();
        let url = format!("sqlite://{}", dir.path().join("t.db").display());
        let store = Store::open(&url).await.unwrap();
        // Between two looks at the clock 10 s pass, as in a long line of guesses.
        let looks = std::sync::atomic::AtomicU64::new(0);
        let now = move || {
            let mono = Duration::from_secs(10 * looks.fetch_add(1, std::sync::atomic::Ordering::Relaxed));
            Moment { wall: chrono::DateTime::UNIX_EPOCH, mono }
        };
        let passwords = Passwords::new(store, Arc::new(now), []);
        for n in 0..FAILURES_MAX {
            let refused = passwords.check("ada", format!("guess {n}")).await.unwrap_err();
            assert!(matches!(refused, PasswordRefused::Wrong), "{refused:?}");
        }
        let refused = passwords.check("ada", "guess".to_owned()).await.unwrap_err();
        let expected = WAIT - Duration::from_secs(10);
        assert!(matches!(refused, PasswordRefused::Wait(left) if left == expected), "{refused:?}");
    }

    #[test]
    fn unknown_name_is_as_slow_as_a_known_one() {
        assert!(PasswordHash::new(UNKNOWN_USER_HASH).is_ok());
    }
}
