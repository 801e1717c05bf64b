//! What arrives to be executed here, and what is answered.

use super::*;

#[test]
fn a_job_is_executed_and_answered() {
    let (client, mut server) = pair();
    server.execute(5, &["print", "it"], &json!({}));
    let answer = server.read();
    assert_eq!(
        answer,
        json!({"jsonrpc": "2.0", "id": 5, "result":
               {"exit_code": 0, "stdout": "i am print iting watch me print it\n"}})
    );
    assert!(
        matches!(next_event(&client), ClientEvent::JobReceived(job) if job.words() == ["print", "it"])
    );
    let finished = next_event(&client);
    let ClientEvent::JobFinished { job, answer } = finished else {
        panic!("{finished:?}");
    };
    assert_eq!(&*job.origin().name, "boss");
    assert!(matches!(answer, ExecutionResult::Ended(ended) if ended.exit_code == Some(0)));
}

#[test]
fn a_job_has_the_tier_of_its_sender_if_the_server_says_it() {
    let (client, mut server) = pair();
    for (id, tier) in [(1, json!(0)), (2, json!(9)), (3, Value::Null)] {
        let from = json!({"member": 1, "name": "boss", "rank": 0, "tier": tier});
        server.execute(id, &["print"], &json!({"from": from}));
        assert_eq!(server.read()["result"]["exit_code"], 0);
        let job = loop {
            if let ClientEvent::JobReceived(job) = next_event(&client) {
                break job;
            }
        };
        let own = job.origin().tier.map(|tier| tier.number().into());
        assert_eq!(own, tier.as_u64(), "{tier}");
    }
    let from = json!({"member": 1, "name": "boss", "rank": 0, "tier": 10});
    server.execute(4, &["print"], &json!({"from": from}));
    assert!(
        server.read()["error"].is_object(),
        "nothing runs for a tier that is none"
    );
}

#[test]
fn job_events_can_be_switched_off() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("loopback");
    let config = Config {
        job_events: false,
        ..config(&listener, 1)
    };
    let (client, mut server) = pair_at(&listener, config, 60_000, Simulation);
    server.execute(5, &["print", "it"], &json!({}));
    assert_eq!(server.read()["id"], 5);
    server.tell("rank", json!({"rank": 2, "members": 3}));
    assert!(matches!(
        next_event(&client),
        ClientEvent::Rank { rank: 2, .. }
    ));
}

#[test]
fn at_most_slots_run_at_once_and_start_in_order() {
    const JOBS: u64 = 40;
    let running = Arc::new(AtomicUsize::new(0));
    let (started, order) = crossbeam_channel::unbounded();
    // Two run at the same moment, or this barrier never opens.
    let both = Barrier::new(2);
    let counter = Arc::clone(&running);
    let (_client, mut server) = pair_with(2, 60_000, move |job: &Job| {
        assert!(counter.fetch_add(1, Ordering::SeqCst) < 2);
        started.send(job.words()[0].clone()).expect("the test");
        both.wait();
        counter.fetch_sub(1, Ordering::SeqCst);
        ExecutionResult::exited(0, "")
    });
    for id in 0..JOBS {
        server.execute(id, &[&id.to_string()], &json!({}));
    }
    let mut answered: Vec<u64> = (0..JOBS)
        .map(|_| server.read())
        .inspect(|answer| assert_eq!(answer["result"], json!({"exit_code": 0})))
        .map(|answer| answer["id"].as_u64().expect("an id"))
        .collect();
    answered.sort_unstable();
    assert!(answered.into_iter().eq(0..JOBS));
    // Of two that start together either may say so first; never one of the next two.
    let order: Vec<u64> = order
        .try_iter()
        .map(|id| id.parse().expect("a number"))
        .collect();
    assert!(
        order
            .chunks(2)
            .zip(0..)
            .all(|(two, n)| two.iter().all(|id| id / 2 == n)),
        "{order:?}"
    );
}

#[test]
fn one_slot_starts_in_order_of_arrival() {
    let (started, order) = crossbeam_channel::unbounded();
    let (_client, mut server) = pair_with(1, 60_000, move |job: &Job| {
        started.send(job.words()[0].clone()).expect("the test");
        ExecutionResult::exited(0, "")
    });
    for id in 0..100 {
        server.execute(id, &[&id.to_string()], &json!({}));
    }
    for id in 0..100 {
        assert_eq!(server.read()["id"], id);
    }
    let expected = (0..100).map(|id| id.to_string());
    assert!(order.try_iter().eq(expected));
}

#[test]
fn a_panic_fails_one_command_and_nothing_else() {
    let (_client, mut server) = pair_with(1, 60_000, |job: &Job| {
        assert!(job.words()[0] != "panic", "as asked for");
        ExecutionResult::exited(0, "")
    });
    server.execute(1, &["panic"], &json!({}));
    let answer = server.read();
    assert_eq!(answer["error"]["code"], 22);
    assert_eq!(answer["error"]["data"]["reason"], "failed");
    server.execute(2, &["go on"], &json!({}));
    assert_eq!(server.read()["result"]["exit_code"], 0);
}

#[test]
fn a_cancel_reaches_running_and_waiting_jobs() {
    let (started, running) = crossbeam_channel::unbounded();
    let (client, mut server) = pair_with(1, 60_000, move |job: &Job| {
        started.send(()).expect("the test");
        assert_eq!(job.wait_for_stop(None), Some(StopReason::Cancelled));
        ExecutionResult::Ended(Execution {
            signal: Some("SIGTERM".into()),
            ..Execution::default()
        })
    });
    server.execute(1, &["runs"], &json!({}));
    running.recv_timeout(PATIENCE).expect("it starts");
    server.execute(2, &["waits"], &json!({}));
    assert!(matches!(next_event(&client), ClientEvent::JobReceived(_)));
    assert!(matches!(next_event(&client), ClientEvent::JobReceived(_)));
    assert_eq!(client.jobs().len(), 2);
    server.tell("cancel", json!({"id": 99}));
    server.tell("cancel", json!({"id": 2}));
    let never_started = server.read();
    assert_eq!(never_started["id"], 2);
    assert_eq!(never_started["result"], json!({"cancelled": true}));
    server.tell("cancel", json!({"id": 1}));
    let ended = server.read();
    assert_eq!(ended["id"], 1);
    assert_eq!(
        ended["result"],
        json!({"signal": "SIGTERM", "cancelled": true})
    );
}

#[test]
fn a_time_out_is_told_to_the_executor_and_to_the_server() {
    let (_client, mut server) = pair_with(1, 60_000, |job: &Job| {
        let time = job.words()[0].parse().map(Duration::from_millis);
        assert_eq!(job.timeout(), time.ok());
        assert_eq!(job.wait_for_stop(None), Some(StopReason::TimedOut));
        ExecutionResult::exited(1, "so far\n")
    });
    // On a busy machine the time may be over before the command has started, which is told
    // without what it wrote. Then it gets more.
    let never_started = json!({"timed_out": true});
    let results = [5, 50, 500, 5000].into_iter().map(|time| {
        let timeout = json!({"timeout_ms": time});
        server.execute(time, &[&time.to_string()], &timeout);
        server.read()["result"].take()
    });
    let result = { results }.find(|result| *result != never_started);
    let expected = json!({"exit_code": 1, "stdout": "so far\n", "timed_out": true});
    assert_eq!(result, Some(expected));
}

#[test]
fn an_id_that_is_open_is_refused_and_the_first_goes_on() {
    let (_client, mut server) = pair_with(2, 60_000, |job: &Job| {
        job.wait_for_stop(None);
        ExecutionResult::exited(0, "")
    });
    server.execute(4, &["first"], &json!({}));
    server.execute(4, &["second"], &json!({}));
    let refused = server.read();
    assert_eq!(refused["id"], Value::Null);
    assert_eq!(refused["error"]["code"], -32600);
    assert_eq!(refused["error"]["data"]["id"], 4);
    server.tell("cancel", json!({"id": 4}));
    assert_eq!(server.read()["id"], 4);
}

#[test]
fn a_client_without_slots_never_executes() {
    let (_client, mut server) = pair_with(0, 60_000, |_: &Job| -> ExecutionResult {
        panic!("it has no slots");
    });
    server.execute(4, &["print"], &json!({}));
    assert_eq!(server.read()["error"]["code"], 20);
}

#[test]
fn a_server_that_goes_stops_running_jobs() {
    let (told, stopped) = crossbeam_channel::unbounded();
    let (started, running) = crossbeam_channel::unbounded();
    let (_client, mut server) = pair_with(1, 60_000, move |job: &Job| {
        started.send(()).expect("the test");
        told.send(job.wait_for_stop(None)).expect("the test");
        ExecutionResult::exited(0, "")
    });
    server.execute(1, &["sleep"], &json!({}));
    running.recv_timeout(PATIENCE).expect("it starts");
    server.tell(
        "bye",
        json!({"reason": "shutting_down", "message": "the server stops"}),
    );
    server.close();
    let stop = stopped.recv_timeout(PATIENCE).expect("it was stopped");
    assert_eq!(stop, Some(StopReason::Disconnected));
}

/// What a command named `stuck` leaves running, until it is let go.
struct Stuck {
    is_let_go: Arc<AtomicBool>,
}

impl Executor for Stuck {
    fn execute(&self, job: &Job) -> ExecutionResult {
        let running = u32::from(job.words()[0] == "stuck");
        if job.words().len() > 1 {
            job.wait_for_stop(None);
        }
        ExecutionResult::Ended(Execution {
            exit_code: Some(0),
            leftovers: Leftovers { ended: 0, running },
            ..Execution::default()
        })
    }

    fn still_runs(&self, job: &Job, wait: Duration) -> bool {
        let is_stuck = job.words()[0] == "stuck" && !self.is_let_go.load(Ordering::SeqCst);
        if is_stuck {
            std::thread::sleep(wait);
        }
        is_stuck
    }
}

#[test]
fn a_process_that_still_runs_keeps_its_slot_after_the_answer() {
    let is_let_go = Arc::new(AtomicBool::new(false));
    let stuck = Stuck {
        is_let_go: Arc::clone(&is_let_go),
    };
    let (client, mut server) = pair_with(2, 60_000, stuck);
    server.execute(1, &["stuck"], &json!({}));
    let answer = server.read();
    let left = json!({"exit_code": 0, "leftovers": {"ended": 0, "running": 1}});
    assert_eq!((&answer["id"], &answer["result"]), (&json!(1), &left));
    // The other slot is in use, too, so what comes waits, and has its time meanwhile.
    server.execute(2, &["stuck", "later"], &json!({}));
    server.execute(3, &["waits"], &json!({"timeout_ms": 50}));
    let answer = server.read();
    assert_eq!(
        (&answer["id"], &answer["result"]),
        (&json!(3), &json!({"timed_out": true}))
    );
    server.execute(4, &["waits"], &json!({}));
    server.execute(5, &["waits"], &json!({}));
    server.tell("cancel", json!({"id": 4}));
    let answer = server.read();
    assert_eq!(
        (&answer["id"], &answer["result"]),
        (&json!(4), &json!({"cancelled": true}))
    );
    // Once all slots are held it fails.
    server.tell("cancel", json!({"id": 2}));
    assert_eq!(server.read()["result"]["leftovers"]["running"], 1);
    for id in [5, 6] {
        if id == 6 {
            server.execute(id, &["comes"], &json!({}));
        }
        let answer = server.read();
        assert_eq!(
            (&answer["id"], &answer["error"]["code"]),
            (&json!(id), &json!(22))
        );
        let message = answer["error"]["message"].as_str();
        assert!(message.is_some_and(|message| message.contains("cannot be ended")));
    }
    // They come back.
    is_let_go.store(true, Ordering::SeqCst);
    let since = Instant::now();
    let answer = loop {
        server.execute(7, &["comes"], &json!({}));
        let answer = server.read();
        if answer["error"].is_null() || since.elapsed() > PATIENCE {
            break answer;
        }
    };
    assert_eq!(answer["result"], json!({"exit_code": 0}));
    // Nor does a client wait for them that leaves.
    is_let_go.store(false, Ordering::SeqCst);
    server.execute(8, &["stuck"], &json!({}));
    assert_eq!(server.read()["id"], 8);
    server.close();
    let since = Instant::now();
    drop(client);
    assert!(since.elapsed() < PATIENCE / 4, "{:?}", since.elapsed());
}
