//! After its first call with a number of images, a session allocates nothing. (One test, alone
//! in its process: it counts every block that any thread takes from the heap.)
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "tests"
)]

mod support;

use mobilenet_engine::{Graph, TensorView};
use mobilenet_formats::{DType, Tensor};

#[global_allocator]
static ALLOCATOR: dhat::Alloc = dhat::Alloc;

/// A small network with everything the plan of a real one has.
fn network() -> Graph {
    support::network::small()
}

#[test]
fn running_again_allocates_nothing() {
    let graph = network();
    for (batch, threads) in [(1, 1), (1, 2), (5, 1), (5, 2)] {
        let mut session = support::network::session(&graph, None, threads);
        let x = Tensor::new([batch, 9, 9, 3], vec![0.25f32; batch * 243]).unwrap();
        let views = [TensorView::of(&x).unwrap()];
        let profiler = dhat::Profiler::builder().testing().build();
        // Often enough that every thread of the pool has had its first task, at which the standard
        // library sets up what it keeps for a thread.
        for _ in 0..2000 {
            session.run(&views).unwrap();
        }
        let before = dhat::HeapStats::get().total_blocks;
        for _ in 0..10 {
            session.run(&views).unwrap();
            assert_eq!(session.output(0).unwrap().elements.dtype(), DType::F32);
        }
        let after = dhat::HeapStats::get().total_blocks;
        drop(profiler);
        assert_eq!(after - before, 0, "batch {batch}, {threads} threads");
    }
}
