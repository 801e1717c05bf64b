//! The random walk: clients join, send by every selector, answer, meddle, cancel, stop
//! reading, lose their connections, come back and go in every way, at a real server, and after each
//! step all clients' lines and the ranking are what a plain model says.
//!
//!     tests/walk.sh                                                   a longer run
//!     WALK_SEED=17 WALK_CASES=1 cargo test -p server --test walk    one walk again
//!
//! A client that stops reading reads on or goes before it is evicted for that. When it would be, no model
//! can say: that depends on what the system takes for it, and a walk would have to aim 64 MiB
//! at it, or wait ten seconds. `tests/survive/backpressure.rs` is about that.

use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crate::step::Step;
use crate::support::{IS_RELEASE, PATIENCE};
use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

/// Walks, unless `WALK_CASES` says otherwise.
const CASES: u64 = if IS_RELEASE { 1000 } else { 200 };

/// Steps of each.
const STEPS: usize = 100;

/// How long so many may take together in a release build.
const LONGEST: Duration = Duration::from_secs(180);

/// Of a hundred steps so many are taken at least. A machine that does other work breaks walks off, and
/// others take their place: up to so many for each.
const TAKEN: usize = 99;
const MOST_INSTEAD: u64 = 10;

/// Walks under way at a time: each waits for the system most of the time.
const AT_A_TIME: u64 = 4;

/// How long a failing walk is made shorter.
const SHORTENING: Duration = Duration::from_secs(60);

/// How long a shorter walk waits for what ought to come at once.
const IMPATIENCE: Duration = Duration::from_secs(1);

#[test]
fn any_acts_of_clients_tell_each_client_what_a_plain_model_says() {
    let cases = variable("WALK_CASES").unwrap_or(CASES);
    let seed = variable("WALK_SEED").unwrap_or_else(|| RandomState::new().hash_one(0) >> 1);
    println!("walks from seed {seed} on: {cases}");
    let began = Instant::now();
    let (next, taken) = (AtomicU64::new(0), AtomicUsize::new(0));
    let wanted = cases as usize * STEPS * TAKEN / 100;
    std::thread::scope(|scope| {
        let walkers: Vec<_> = (0..cases.min(AT_A_TIME))
            .map(|_| {
                scope.spawn(|| {
                    while taken.load(Ordering::Relaxed) < wanted
                        && let at @ 0.. = next.fetch_add(1, Ordering::Relaxed)
                        && at < cases * MOST_INSTEAD
                    {
                        let steps = take(seed.wrapping_add(at), &next);
                        taken.fetch_add(steps, Ordering::Relaxed);
                    }
                })
            })
            .collect();
        for walker in walkers {
            if let Err(panic) = walker.join() {
                std::panic::resume_unwind(panic);
            }
        }
    });
    let taken = taken.into_inner();
    let took = began.elapsed();
    println!("steps taken: {taken}, in {took:?}");
    assert!(
        taken >= wanted,
        "the machine was too slow for more than {taken} of {wanted} steps"
    );
    let most = LONGEST.mul_f64((cases as f64 / CASES as f64).max(1.0));
    let is_in_time = !IS_RELEASE || took <= most;
    assert!(is_in_time, "{cases} walks took {took:?}");
}

fn variable(name: &str) -> Option<u64> {
    let value = std::env::var(name).ok()?;
    let number = value.parse();
    Some(number.unwrap_or_else(|e| panic!("{name}={value} is no natural number: {e}")))
}

/// Takes one walk; says how many steps were taken.
fn take(seed: u64, next: &AtomicU64) -> usize {
    let steps = steps_of(seed);
    crate::walk(&steps, PATIENCE).unwrap_or_else(|why| {
        // No thread begins another one.
        next.store(u64::MAX / 2, Ordering::Relaxed);
        let (steps, why) = shortened(steps, why);
        let listed: Vec<String> = steps.iter().map(|step| format!("  {step:?}")).collect();
        panic!(
            "{why}\nof these steps, which are left of the walk of seed {seed}:\n{}\n\
             the whole again: WALK_SEED={seed} WALK_CASES=1 cargo test -p server --test walk",
            listed.join("\n")
        )
    })
}

/// The walk of a seed.
fn steps_of(seed: u64) -> Vec<Step> {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
    let mut runner = TestRunner::new_with_rng(Config::default(), rng);
    let tree = crate::step::walk(STEPS).new_tree(&mut runner);
    tree.expect("nothing is filtered out").current()
}

/// Leaves steps out of a failing walk, in ever smaller pieces, as long as it still fails.
fn shortened(mut steps: Vec<Step>, mut why: String) -> (Vec<Step>, String) {
    let end = Instant::now() + SHORTENING;
    let mut piece = steps.len();
    while piece > 1 {
        piece = piece.div_ceil(2);
        let mut at = 0;
        while at < steps.len() && Instant::now() < end {
            let after = (at + piece).min(steps.len());
            let rest = [&steps[..at], &steps[after..]].concat();
            match crate::walk(&rest, IMPATIENCE) {
                Err(still) => (steps, why) = (rest, still),
                Ok(_) => at = after,
            }
        }
    }
    (steps, why)
}
