//! Rules in 16 bits, on any architecture, and the table of them.

use proptest::prelude::*;

use super::super::row::{Arch, Frame, Plain, Row, Step};
use super::super::table::{self, Table};
use super::super::{Rule as NativeRule, aarch64, x86_64};
use super::my_turn;
use crate::record::modules::{self, ListReader};
use crate::record::sampler::mix;

/// A made-up word of the stack, the same each time; some cannot be read, some are 0.
pub(super) fn word(seed: u64, at: usize) -> Option<usize> {
    let word = mix(seed ^ at as u64);
    match word % 16 {
        0 => None,
        1 => Some(0),
        _ => Some((word >> 8) as usize),
    }
}

fn plain() -> impl Strategy<Value = Plain> {
    let place = || prop::option::of((-40_i64..4).prop_map(|words| words * 8));
    let offset = prop_oneof![
        (0_i64..64).prop_map(|words| words * 8),
        -64_i64..64,
        (0_i64..5000).prop_map(|words| words * 8),
    ];
    let usual = (any::<bool>(), offset, place(), place()).prop_map(|(from_fp, offset, fp, ra)| {
        let ra = ra.map(|_| -8);
        Plain {
            from_fp,
            offset,
            fp,
            ra,
        }
    });
    let pair = (any::<bool>(), 1_i64..600, 1_i64..40, any::<bool>()).prop_map(
        |(from_fp, units, words, both)| Plain {
            from_fp,
            offset: units * 16,
            fp: both.then_some(-words * 8),
            ra: Some(if both { 8 } else { 0 } - words * 8),
        },
    );
    prop_oneof![usual, pair, Just(x86_64::Amd64::FRAME_POINTER)]
}

fn frame() -> impl Strategy<Value = Frame> {
    let number = || {
        prop_oneof![
            any::<usize>(),
            0_usize..4096,
            Just(0),
            (1_usize << 20..1 << 46)
        ]
    };
    (number(), number(), 0_usize..1 << 13, any::<bool>()).prop_map(|(sp, fp, above, near)| Frame {
        sp,
        at: 1 << 30,
        fp: if near { sp.wrapping_add(above) } else { fp },
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4096))]

    /// A rule that differs from the row it stands for would put wrong frames into all later stacks.
    #[test]
    fn rules_of_x86_64_say_what_rows_say(plain in plain(), frame in frame(), seed: u64) {
        let rule = x86_64::Rule::of(&Row::Plain(plain));
        let mut read = |at| word(seed, at);
        let expected = plain.step::<x86_64::Amd64>(frame, None, &mut read);
        if let Some(step) = rule.step(frame, None, &mut read) {
            prop_assert_eq!(step, expected);
        }
        if let Some(caller) = rule.caller(frame, &mut read) {
            prop_assert_eq!(Step::To(caller), expected);
        }
    }

    /// As for x86-64; there the innermost frame may have its return address in a register.
    #[test]
    fn rules_of_aarch64_say_what_rows_say(
        plain in plain(), frame in frame(), seed: u64, lr: Option<usize>
    ) {
        let rule = aarch64::Rule::of(&Row::Plain(plain));
        let mut read = |at| word(seed, at);
        let expected = plain.step::<aarch64::Aarch64>(frame, lr, &mut read);
        if let Some(step) = rule.step(frame, lr, &mut read) {
            prop_assert_eq!(step, expected);
        }
        if let Some(caller) = rule.caller(frame, &mut read) {
            prop_assert_eq!(Step::To(caller), expected);
        }
    }
}

/// What has a 16-bit rule decides what a walk costs.
#[test]
fn usual_frames_have_rules() {
    let x86_64 = |from_fp, offset, fp| {
        let ra = Some(-8);
        x86_64::Rule::of(&Row::Plain(Plain {
            from_fp,
            offset,
            fp,
            ra,
        }))
    };
    for (from_fp, offset, fp) in [
        (false, 8, None),
        (false, 4095 * 8, None),
        (false, 64, Some(-16)),
        (false, 64, Some(-56)),
        (true, 16, Some(-16)),
    ] {
        let rule = x86_64(from_fp, offset, fp);
        assert_ne!(rule, x86_64::Rule::ASK, "{from_fp} {offset} {fp:?}");
    }
    let aarch64 = |from_fp, offset, fp, ra| {
        aarch64::Rule::of(&Row::Plain(Plain {
            from_fp,
            offset,
            fp,
            ra,
        }))
    };
    for (from_fp, offset, fp, ra) in [
        (false, 16, None, None),
        (false, 511 * 16, Some(-16), Some(-8)),
        (false, 96, Some(-96), Some(-88)),
        (false, 32, None, Some(-16)),
        (true, 16, Some(-16), Some(-8)),
        (true, 48, Some(-48), Some(-40)),
    ] {
        let rule = aarch64(from_fp, offset, fp, ra);
        assert_ne!(rule, aarch64::Rule::ASK, "{from_fp} {offset} {fp:?} {ra:?}");
    }
}

/// A signed return address that is taken as it is lies in no module, so every stack of a program with
/// pointer authentication would end at its first frame.
#[test]
fn signatures_are_stripped_from_return_addresses() {
    let signed = 0x00b5_aaaa_bbbb_cccc_usize | 0xff << 56;
    let plain = aarch64::Aarch64::FRAME_POINTER;
    let frame = Frame {
        sp: 0x1000,
        at: 1,
        fp: 0x2000,
    };
    let mut read = |at| Some(if at == 0x2008 { signed } else { 0x3000 });
    let expected = Step::To(Frame {
        sp: 0x2010,
        at: 0xaaaa_bbbb_cccb,
        fp: 0x3000,
    });
    assert_eq!(
        plain.step::<aarch64::Aarch64>(frame, None, &mut read),
        expected
    );
    let rule = aarch64::Rule::of(&Row::Plain(plain));
    assert_eq!(rule.step(frame, None, &mut read), Some(expected));
    let leaf = aarch64::Rule::of(&Row::Plain(Plain {
        from_fp: false,
        offset: 32,
        fp: None,
        ra: None,
    }));
    let Some(Step::To(caller)) = leaf.step(frame, Some(signed), &mut read) else {
        panic!("a leaf's caller is in its register");
    };
    assert_eq!(caller.at, 0xaaaa_bbbb_cccb);
    // Further out nothing is known of that register.
    assert_eq!(leaf.step(frame, None, &mut read), Some(Step::Lost));
}

/// A table that forgets what it was given costs fifty look-ups for each frame; one that mixes
/// addresses up makes wrong stacks.
#[test]
fn the_table_finds_what_it_was_given_and_grows() {
    let _turn = my_turn();
    table::clear();
    let reading = ListReader::start();
    let list = reading.current().unwrap();
    let rule = |number: usize| NativeRule((mix(number as u64) as u16) | 16);
    let address = |number: usize| 0x7000_0000_0000 + number * 37;
    let before = table::bytes();
    let mut wanted = 0;
    for number in 0..20_000 {
        Table::current().keep(address(number), rule(number), list);
        table::grow_if_needed();
        wanted = number;
    }
    assert!(table::bytes() > before && table::bytes() <= 256 << 10);
    let found = |number| Table::current().find(address(number));
    let kept = (0..=wanted)
        .filter(|&number| found(number).is_some())
        .count();
    assert!(
        kept > wanted / 2,
        "{kept} of {wanted} in {} bytes",
        table::bytes()
    );
    assert!((0..=wanted).all(|number| found(number).is_none_or(|found| found == rule(number))));
    table::clear();
    assert!((0..=wanted).all(|number| found(number).is_none()));
}

/// A rule of code that was unloaded would lead astray where other code was loaded since.
#[test]
fn another_list_of_modules_forgets_all_rules() {
    let _turn = my_turn();
    let reading = ListReader::start();
    let old = reading.current().unwrap();
    let address = 0x7123_4567_89ab;
    Table::current().keep(address, NativeRule(77), old);
    assert_eq!(Table::current().find(address), Some(NativeRule(77)));
    modules::load();
    assert!(!old.is_current());
    assert_eq!(Table::current().find(address), None);
    // Learned from the old list, and too late.
    Table::current().keep(address, NativeRule(77), old);
    assert_eq!(Table::current().find(address), None);
}
