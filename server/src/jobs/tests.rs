//! What jobs keep and let go of, without clients.

use super::account::Owner;
use super::job::{JOB, Job, OUTCOME};
use super::keeper::JobKeeper;
use super::log::{EVENT, Log};
use super::table::{Jobs, Opened};
use crate::dispatch::command::{Keeper, Target};
use crate::testing;
use crate::timers::timer_queue::TimerQueue;
use common::limits::{JOBS_PART, MAX_OPEN_JOBS, MAX_OPEN_JOBS_OF_ONE};
use common::memory::{Charge, Memory};
use common::sys::sync::atomic::AtomicBool;
use common::sys::sync::{Arc, Mutex};
use common::wire::{JobId, OutputStream};
use serde_json::Value;
use std::time::Duration;

const LIMIT: usize = 16 << 20;

/// What all jobs of such a server may keep: a quarter of its memory.
const ALL: usize = LIMIT / 4;

fn jobs() -> Arc<Jobs> {
    Arc::new(Jobs::new(
        LIMIT,
        &Memory::new(LIMIT),
        Duration::from_secs(3600),
    ))
}

/// Opens a job with one outcome, if it may be opened; it is the owner's only account.
fn try_open(jobs: &Arc<Jobs>, id: u8, owner: &Owner) -> Option<Arc<Job>> {
    let account = jobs.account(owner);
    let kept = JOB + OUTCOME;
    if !jobs.make_room_for_job(owner, &account, kept) {
        return None;
    }
    let log = Log::new(1, Charge::new(&account.memory, kept));
    let mut id_bytes = [0; 16];
    id_bytes[..8].copy_from_slice(&jobs.table_len().to_be_bytes());
    id_bytes[15] = id;
    let opened = jobs.open(JobId::new(id_bytes), owner, true, |number| Job {
        id: JobId::new(id_bytes),
        number,
        owner: owner.clone(),
        account,
        stand_in: testing::member(1, "sender", 0),
        is_for_one: true,
        words: vec!["x".into()],
        to: None,
        sent: 1,
        targets: 1,
        log: Mutex::new(log),
        news: AtomicBool::new(false),
    });
    match opened {
        Opened::New(job, _) => Some(job),
        Opened::InUse => panic!("the id is new"),
        Opened::Full => None,
    }
}

fn open(jobs: &Arc<Jobs>, id: u8, owner: &Owner) -> Arc<Job> {
    try_open(jobs, id, owner).expect("there is room")
}

/// A target whose output this is.
fn target() -> Target {
    Target {
        member: testing::member(2, "web1", 1),
        rank: 1,
        allow: None,
    }
}

fn write(jobs: &Arc<Jobs>, job: &Arc<Job>, bytes: usize) {
    let text = "x".repeat(bytes);
    let text = Some(text.as_str().into());
    let keeper = JobKeeper {
        job: Arc::clone(job),
        jobs: Arc::downgrade(jobs),
    };
    keeper.add_output(target().info(), OutputStream::Stdout, text, None);
}

/// The events of a job, and how many bytes of output they have.
fn events(job: &Job) -> (usize, usize) {
    let page = job.page(&1.into(), 0);
    let page: Value = serde_json::from_slice(&page).expect("JSON");
    let events = page["result"]["events"].as_array().expect("events").clone();
    let texts = events.iter().map(|event| &event["output"]["text"]);
    let bytes = texts.map(|text| text.as_str().map_or(0, str::len)).sum();
    (events.len(), bytes)
}

#[test]
fn small_pieces_are_one_event_until_it_was_told() {
    let (jobs, owner) = (jobs(), Owner::Tier(5));
    let job = open(&jobs, 1, &owner);
    let account = jobs.account(&owner);
    for _ in 0..100 {
        write(&jobs, &job, 10);
    }
    assert_eq!(account.memory.kept(), JOB + OUTCOME + EVENT + 1000);
    assert_eq!(events(&job), (1, 1000));
    write(&jobs, &job, 10);
    assert_eq!(events(&job), (2, 1010), "what was told stays as it is");
    write(&jobs, &job, 16 << 10);
    assert_eq!(events(&job).0, 3, "one event is no longer than this");
    drop(job);
    assert_eq!(account.memory.kept(), jobs.memory.kept());
}

#[test]
fn past_its_part_an_owners_oldest_ended_job_goes_and_then_output_is_cut() {
    let (jobs, owner) = (jobs(), Owner::Tier(5));
    let part = ALL / JOBS_PART;
    let account = jobs.account(&owner);
    let timers = TimerQueue::new();
    let [oldest, older, open_one] = [1, 2, 3].map(|id| open(&jobs, id, &owner));
    for job in [&oldest, &older] {
        write(&jobs, job, part / 3);
        jobs.end(job, &timers);
    }
    write(&jobs, &open_one, part / 3);
    assert!(
        jobs.get(&oldest.id).is_none(),
        "it went for the third output"
    );
    assert!(jobs.get(&older.id).is_some());
    write(&jobs, &open_one, part / 2);
    assert!(jobs.get(&older.id).is_none());
    let before = events(&open_one).1;
    write(&jobs, &open_one, part / 2);
    write(&jobs, &open_one, 1);
    assert_eq!(events(&open_one).1, before, "nothing comes after a hole");
    assert!(account.memory.kept() <= part, "{}", account.memory.kept());

    let other = Owner::Identity("other".into());
    let others = open(&jobs, 9, &other);
    write(&jobs, &others, part / 3);
    assert_eq!(
        events(&others).1,
        part / 3,
        "no owner costs another one anything"
    );
}

#[test]
fn output_makes_no_send_busy() {
    let (jobs, owner) = (jobs(), Owner::Tier(5));
    let first = open(&jobs, 1, &owner);
    let part = ALL / JOBS_PART;
    write(&jobs, &first, part - 2 * (JOB + OUTCOME));
    assert_ne!(events(&first).1, 0);
    for id in 2..10 {
        open(&jobs, id, &owner);
    }
    assert_eq!(events(&first).1, 0, "it is cut in favour of outcomes");
    let rest = (10..=255).map_while(|id| try_open(&jobs, id, &owner));
    assert_eq!(
        rest.count() + 9,
        part / (JOB + OUTCOME),
        "then nothing can go"
    );
}

#[test]
fn open_jobs_are_bounded_for_one_owner_and_for_all() {
    let jobs = Jobs::new(1 << 30, &Memory::new(1 << 30), Duration::ZERO);
    let jobs = Arc::new(jobs);
    let mut all = Vec::new();
    for owner in 0..8 {
        let owner = Owner::Tier(owner);
        let opened = (0..300).map_while(|n| try_open(&jobs, (n % 256) as u8, &owner));
        let opened: Vec<_> = opened.collect();
        let left = MAX_OPEN_JOBS - all.len();
        assert_eq!(opened.len(), MAX_OPEN_JOBS_OF_ONE.min(left), "{owner:?}");
        all.extend(opened);
    }
    jobs.end(&all[0], &TimerQueue::new());
    assert!(try_open(&jobs, 0, &Owner::Tier(9)).is_some());
}
