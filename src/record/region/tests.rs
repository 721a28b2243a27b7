use super::*;

/// A block that is found in another class, or not at all, would be freed into the wrong place.
#[test]
fn every_address_of_a_block_names_its_cell() {
    prepare();
    for class in 0..CLASSES {
        let size = 1 << (LOG_SMALLEST as usize + class);
        let layout = Layout::from_size_align(size, size).unwrap();
        let block = allocate(layout, false);
        assert!(!block.is_null() && block.addr().is_multiple_of(size));
        assert!(may_contain(block) && contains(block));
        let found = find(block);
        assert_eq!(found, find(block.wrapping_add(size - 1)));
        assert_eq!(found.unwrap().class, class);
        let (class, last) = (class, CELLS - 1);
        let end = address(class, last) + size;
        let next = if class + 1 < CLASSES {
            address(class + 1, 0)
        } else {
            BASE.load(Ordering::Relaxed) + SIZE
        };
        assert_eq!(end, next);
        free(find(block).unwrap());
    }
}

/// Memory that a class keeps is missing to the program.
#[test]
fn freed_pages_go_back() {
    const SIZE: usize = 16 << 10;
    prepare();
    let layout = Layout::from_size_align(SIZE, 8).unwrap();
    let blocks: Vec<_> = (0..1000).map(|_| allocate(layout, true)).collect();
    for block in &blocks {
        // SAFETY: allocated above with this size, and zeroed.
        unsafe {
            assert!((0..SIZE).all(|i| block.add(i).read() == 0));
            block.write_bytes(1, SIZE);
        }
    }
    for block in blocks {
        free(find(block).unwrap());
    }
    let class = (SIZE.ilog2() - LOG_SMALLEST) as usize;
    let idle = || ARRAYS[class].state().unwrap().idle() * SIZE;
    // Other tests of this process may have some.
    assert!(idle() <= 2 * KEPT, "{}", idle());
    maintain();
    assert!(idle() <= KEPT, "{}", idle());
    let block = allocate(layout, true);
    // SAFETY: allocated just now with this size.
    unsafe {
        assert!((0..SIZE).all(|i| block.add(i).read() == 0));
        free(find(block).unwrap());
    }
}
