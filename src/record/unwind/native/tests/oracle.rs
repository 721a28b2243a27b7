//! Each step against framehop's.

use framehop::{
    CacheNative, Error, ExplicitModuleSectionInfo, FrameAddress, MustNotAllocateDuringUnwind,
    UnwindRegsNative, Unwinder, UnwinderNative,
};
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

use super::super::cfi::Found;
use super::super::row::{Frame, Row, Step};
use super::super::table::Table;
use super::super::{Code, Native, Rule, Tables};
use super::my_turn;
use super::rules::word;
use crate::record::modules::{ListReader, Module};

type Cache = CacheNative<MustNotAllocateDuringUnwind>;
type Framehop = UnwinderNative<&'static [u8], MustNotAllocateDuringUnwind>;

fn framehops(module: &Module) -> framehop::Module<&'static [u8]> {
    let svma = |address: usize, bytes: &[u8]| {
        let start = address.wrapping_sub(module.bias) as u64;
        start..start + bytes.len() as u64
    };
    let (hdr, frames) = (&module.eh_frame_hdr, &module.eh_frame);
    let has_tables = !frames.bytes.is_empty();
    let info = ExplicitModuleSectionInfo {
        base_svma: 0,
        eh_frame_svma: has_tables.then(|| svma(frames.address, frames.bytes)),
        eh_frame: has_tables.then_some(frames.bytes),
        eh_frame_hdr_svma: has_tables.then(|| svma(hdr.address, hdr.bytes)),
        eh_frame_hdr: has_tables.then_some(hdr.bytes),
        ..Default::default()
    };
    let range = module.range.start as u64..module.range.end as u64;
    framehop::Module::new(String::new(), range, module.bias as u64, info)
}

fn outcome(found: Result<Option<u64>, Error>, regs: &UnwindRegsNative) -> Step {
    match found {
        Ok(None | Some(0)) => Step::Reached,
        Ok(Some(address)) => Step::To(Frame {
            sp: regs.sp() as usize,
            at: address as usize - 1,
            fp: regs.bp() as usize,
        }),
        Err(_) => Step::Lost,
    }
}

fn tables(reading: &ListReader) -> Tables<'_> {
    Tables {
        reading,
        list: reading.current().unwrap(),
        table: Table::current(),
        changed: false,
        missed: false,
    }
}

/// Any difference would put a frame into a stack that is not there, or end it too early.
///
/// Where the row is not one of the usual, framehop differs on purpose: it reads no memory in
/// expressions, and so goes on by the base pointer from where a signal interrupted; and it does so
/// where the caller's stack pointer would be below the callee's, which is no frame.
#[cfg(target_arch = "x86_64")]
#[test]
fn every_step_is_framehops_step() {
    const SEED: u64 = 0x7275_6c65;
    const ADDRESSES: usize = 100_000;
    let _turn = my_turn();
    let reading = ListReader::start();
    let list = reading.current().unwrap();
    let mut framehop = Framehop::new();
    for module in &list.modules {
        framehop.add_module(framehops(module));
    }
    let mut rng = SmallRng::seed_from_u64(SEED);
    let mut cache = Cache::default();
    let mut code = tables(&reading);
    let (mut by_rule, mut by_row, mut differing) = (0, 0, 0);
    for _ in 0..ADDRESSES {
        let module = &list.modules[rng.random_range(0..list.modules.len())];
        let ip = rng
            .random_range(module.range.clone())
            .max(module.range.start + 1);
        let address = FrameAddress::from_return_address(ip as u64).unwrap();
        for _ in 0..3 {
            let rule = code.rule(ip - 1).unwrap();
            let is_ruled = rule != Rule::ASK;
            let seed = rng.random();
            // The ends of the number range only where there is a rule: elsewhere framehop's own
            // arithmetic overflows.
            let sp = match rng.random_range(0..8) {
                0 if is_ruled => rng.random_range(2..512) * 8,
                1 if is_ruled => usize::MAX - 7 - rng.random_range(0..8) * 8,
                _ => rng.random_range(1 << 20..1 << 46),
            };
            let fp = match rng.random_range(0..8) {
                0 if is_ruled => 0,
                1 if is_ruled => rng.random::<u64>() as usize,
                _ => sp.wrapping_add(rng.random_range(0..1 << 12)),
            };
            let mut regs = UnwindRegsNative::new(ip as u64, sp as u64, fp as u64);
            if !is_ruled {
                // framehop keeps the way out that it took when a row led nowhere.
                cache = Cache::default();
            }
            let mut read = |at| word(seed, at as usize).map(|word| word as u64).ok_or(());
            let expected = framehop.unwind_frame(address, &mut regs, &mut cache, &mut read);
            let expected = outcome(expected, &regs);
            let frame = Frame { sp, at: ip - 1, fp };
            let found = code.step(rule, frame, None, &mut |at| word(seed, at));
            if let Some(caller) = code.caller(rule, frame, &mut |at| word(seed, at)) {
                assert_eq!(Step::To(caller), found, "{ip:#x} {rule:?}");
            }
            by_rule += usize::from(is_ruled);
            by_row += usize::from(!is_ruled);
            if found == expected {
                continue;
            }
            let row =
                Found::at::<Native>(list.find(ip - 1).unwrap(), ip - 1).map(|f| f.row::<Native>());
            let on_purpose = match row {
                Ok(Row::Other) => !is_ruled,
                Ok(Row::Plain(plain)) => {
                    !is_ruled
                        && plain.from_fp
                        && fp.wrapping_add_signed(plain.offset as isize) <= sp
                }
                _ => false,
            };
            assert!(
                on_purpose,
                "{ip:#x} {rule:?} {row:?} {frame:x?}: {found:x?}, framehop has {expected:x?}"
            );
            differing += 1;
        }
    }
    assert!(
        by_rule > ADDRESSES,
        "{by_rule} steps were by a rule, {by_row} by a row"
    );
    assert!(
        differing < by_row / 2,
        "{differing} of {by_row} steps by a row differ"
    );
}
