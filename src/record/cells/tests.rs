use super::*;
#[cfg(not(heapwatch_loom))]
use proptest::prelude::*;
#[cfg(not(heapwatch_loom))]
use std::collections::BTreeMap;

impl<const WORDS: usize> Cells<WORDS> {
    fn new() -> Self {
        Cells {
            taken: std::array::from_fn(|_| AtomicU64::new(0)),
            used: std::array::from_fn(|_| AtomicU64::new(0)),
            first: AtomicUsize::new(0),
            idle: AtomicUsize::new(0),
            sweep_above: AtomicUsize::new(0),
        }
    }
}

#[cfg(not(heapwatch_loom))]
proptest! {
    /// Against a map of the cells that are taken and what was left in those that are not. A cell
    /// handed out twice, one called fresh that is not, or one swept while it is taken would corrupt a
    /// program's memory.
    #[test]
    fn cells_are_a_set(
        operations in prop::collection::vec((0_u8..8, any::<u16>()), 1..600),
        len in 1_usize..320,
        unit_log in 0_u32..9,
        releases in any::<bool>(),
    ) {
        let unit = 1 << unit_log;
        let cells = Cells::<5>::new();
        let mut taken = Vec::new();
        // Whether each cell's memory is other than zero.
        let mut written = BTreeMap::new();
        for (operation, choice) in operations {
            match operation {
                0..4 => match cells.take(len) {
                    Some(Taken { cell, fresh }) => {
                        prop_assert!(cell < len && !taken.contains(&cell));
                        prop_assert_eq!(fresh, !written.contains_key(&cell));
                        written.insert(cell, ());
                        taken.push(cell);
                    }
                    None => prop_assert_eq!(taken.len(), len),
                },
                4..7 if !taken.is_empty() => {
                    let cell = taken.swap_remove(usize::from(choice) % taken.len());
                    cells.put(cell);
                }
                7 => cells.sweep(len, unit, 4, |range| {
                    assert!(range.start % unit == 0 && range.len() % unit == 0);
                    assert!(!range.clone().any(|cell| taken.contains(&cell)));
                    if releases {
                        written.retain(|cell, ()| !range.contains(cell));
                    }
                    releases
                }),
                _ => {}
            }
            let idle = written.keys().filter(|cell| !taken.contains(cell)).count();
            prop_assert_eq!(cells.idle(), idle);
            for cell in 0..len {
                prop_assert_eq!(cells.is_taken(cell), taken.contains(&cell));
            }
        }
        // Whatever was freed can be had again.
        for cell in taken {
            cells.put(cell);
        }
        prop_assert_eq!((0..len).filter(|_| cells.take(len).is_some()).count(), len);
    }
}

/// A sweep for every freed cell would make frees slow, and one too few would keep memory.
#[test]
#[cfg(not(heapwatch_loom))]
fn a_sweep_is_due_when_enough_has_come_free() {
    let cells = Cells::<4>::new();
    let all: Vec<_> = (0..200).map_while(|_| cells.take(256)).collect();
    for (i, taken) in all.iter().enumerate().take(100) {
        assert_eq!(cells.is_sweep_due(32), i > 32, "{i}");
        cells.put(taken.cell);
    }
    // Nothing can be released: not before another 32 is it looked at again.
    cells.sweep(256, 1, 32, |_| false);
    for (i, taken) in all.iter().enumerate().skip(100).take(40) {
        assert_eq!(cells.is_sweep_due(32), i > 132, "{i}");
        cells.put(taken.cell);
    }
    cells.sweep(256, 1, 32, |_| true);
    assert_eq!(cells.idle(), 0);
    assert!(!cells.is_sweep_due(32));
}

#[cfg(heapwatch_loom)]
mod models {
    use super::*;
    use crate::record::sync::models::{Unshared, check};
    use loom::sync::Arc;
    use loom::thread;

    /// Cells with their memory, and how often what was written there was swept away.
    struct Array {
        cells: Cells<1>,
        memory: [Unshared; LEN],
        swept: Unshared,
    }

    const LEN: usize = 2;

    impl Array {
        fn new() -> Arc<Array> {
            Arc::new(Array {
                cells: Cells::new(),
                memory: std::array::from_fn(|_| Unshared::new()),
                swept: Unshared::new(),
            })
        }

        /// Takes a cell, writes to it, and puts it back.
        fn use_one(&self) -> usize {
            let Some(Taken { cell, fresh }) = self.cells.take(LEN) else {
                return 0;
            };
            assert!(!fresh || self.memory[cell].get() == 0);
            self.memory[cell].count();
            self.cells.put(cell);
            1
        }

        fn sweep(&self) {
            self.cells.sweep(LEN, 1, 0, |range| {
                for cell in range {
                    self.swept.set(self.swept.get() + self.memory[cell].get());
                    self.memory[cell].set(0);
                }
                true
            });
        }

        /// When no other thread uses it any more.
        fn check(&self, uses: usize) {
            let written: usize = self.memory.iter().map(Unshared::get).sum();
            assert_eq!(written + self.swept.get(), uses);
            assert!(!(0..LEN).any(|cell| self.cells.is_taken(cell)));
        }
    }

    fn use_on_a_thread(array: &Arc<Array>) -> thread::JoinHandle<usize> {
        let array = Arc::clone(array);
        thread::spawn(move || array.use_one())
    }

    /// A cell that two threads own, or a thread and a sweep, would corrupt a program's memory, and one called
    /// fresh that is not would break `calloc`. Finds each acquire and release being relaxed, a sweep that does
    /// not take what it sweeps, and one that opens cells before it says that they are fresh.
    #[test]
    fn no_cell_has_two_owners() {
        check(|| {
            let array = Array::new();
            let threads = [(); 2].map(|()| use_on_a_thread(&array));
            array.sweep();
            let uses: usize = threads.map(|thread| thread.join().unwrap()).iter().sum();
            let uses = uses + array.use_one();
            array.check(uses);
        });
    }
}
