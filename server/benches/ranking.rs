//! What it costs to find a member, to join and to leave, among ten, a thousand and ten
//! thousand: how these grow is what a large server depends on.

use common::wire::selector::Selector;
use divan::{Bencher, black_box};
use server::bench_support::Ranking;

const SIZES: [usize; 3] = [10, 1_000, 10_000];

fn main() {
    divan::main();
}

fn find(bencher: Bencher<'_, '_>, members: usize, selector: &str) {
    let ranking = Ranking::of(members);
    let selector: Selector<'static> = selector.parse().expect("a selector");
    assert!(ranking.find(&selector) > 0);
    bencher.bench_local(|| ranking.find(black_box(&selector)));
}

#[divan::bench(args = SIZES)]
fn next(bencher: Bencher<'_, '_>, members: usize) {
    find(bencher, members, "next");
}

#[divan::bench(args = SIZES)]
fn name(bencher: Bencher<'_, '_>, members: usize) {
    find(bencher, members, &format!("m{}", members / 2));
}

#[divan::bench(args = SIZES)]
fn rank(bencher: Bencher<'_, '_>, members: usize) {
    find(bencher, members, &(members / 2).to_string());
}

/// With the two changes of load that a command makes.
#[divan::bench(args = SIZES)]
fn least_loaded(bencher: Bencher<'_, '_>, members: usize) {
    let ranking = Ranking::of(members);
    let selector = Selector::LeastLoaded;
    let mut busy = 1;
    bencher.bench_local(|| {
        ranking.load(busy, 1);
        let found = ranking.find(black_box(&selector));
        ranking.load(busy, 0);
        busy = (busy + 7) % members;
        found
    });
}

#[divan::bench(args = SIZES)]
fn below(bencher: Bencher<'_, '_>, members: usize) {
    find(bencher, members, "below");
}

#[divan::bench(args = SIZES)]
fn pattern(bencher: Bencher<'_, '_>, members: usize) {
    find(bencher, members, "m*5,!m1*");
}

/// The last one joins and leaves.
#[divan::bench(args = SIZES)]
fn join_and_leave(bencher: Bencher<'_, '_>, members: usize) {
    let ranking = Ranking::of(members);
    bencher.bench_local(|| {
        let newcomer = ranking.join("newcomer");
        ranking.leave(black_box(&newcomer))
    });
}

/// One of a higher tier than all others joins and leaves.
#[divan::bench(args = SIZES)]
fn join_above_and_leave(bencher: Bencher<'_, '_>, members: usize) {
    let ranking = Ranking::of(members);
    bencher.bench_local(|| {
        let newcomer = ranking.join_above("newcomer");
        ranking.leave(black_box(&newcomer))
    });
}

/// A member leaves, and all others move up. Each time in a list of its own, which takes a
/// while to make.
#[divan::bench(args = SIZES, sample_count = 20, sample_size = 1)]
fn leave_from_the_top(bencher: Bencher<'_, '_>, members: usize) {
    bencher
        .with_inputs(|| {
            let ranking = Ranking::of(members);
            let first = ranking.at(0);
            (ranking, first)
        })
        .bench_local_refs(|(ranking, first)| ranking.leave(first));
}
