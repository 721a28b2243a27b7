//! How to get from a frame to its caller, by return address: what framehop finds out from the
//! unwind tables, in 8 bytes.
//!
//! At nearly every return address the caller's registers follow in one of two ways, whatever the
//! registers are: the caller's stack pointer is so many words above the callee's, and its base
//! pointer is unchanged or saved so many words below that; or both hang on the base pointer. Which
//! one it is, framehop does not say, but it shows: given made-up registers and a made-up stack, it
//! reads just the words that the rule names. Whatever else it does, it does itself each time.
//!
//! A rule is learned only from one that framehop has in its own cache, because such a rule depends
//! on nothing but the address.

use framehop::{
    CacheNative, Error, FrameAddress, MustNotAllocateDuringUnwind, UnwindRegsNative, Unwinder,
};

use super::modules::ModuleUnwinder;
use super::thread::Muted;

type Cache = CacheNative<MustNotAllocateDuringUnwind>;

const WORD: u64 = 8;
/// Rules that share a place: half a cache line.
const WAYS: usize = 4;
/// Places at first, and at most. Powers of two.
const FIRST_BUCKETS: usize = 256;
const MAX_BUCKETS: usize = 8192;
/// After so many look-ups a table is judged, ...
const JUDGED_LOOKUPS: u32 = 1024;
/// ... and it is too small if more than one in so many drove out another rule: to learn a rule
/// costs some fifty look-ups.
const LOOKUPS_PER_EVICTION: u32 = 64;

/// Where a frame's caller is.
///
/// The upper 12 bits are words from the stack pointer to the caller's; the lower 4 are words from
/// there down to the saved base pointer, 0 where it is unchanged.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Rule(u16);

impl Rule {
    /// framehop must be asked.
    const ASK: Rule = Rule(0);
    /// The caller's stack pointer is two words above the base pointer, which points to the saved
    /// one: as `FromStackPointer` with 0 words would mean, which is no frame.
    const FRAME_POINTER: Rule = Rule(2);
    const SAVED_BITS: u32 = 4;

    fn from_stack_pointer(words: u64, saved: u64) -> Option<Rule> {
        let fits = (1..1 << 12).contains(&words) && saved < 1 << Rule::SAVED_BITS;
        fits.then_some(Rule((words << Rule::SAVED_BITS | saved) as u16))
    }

    /// Makes the registers those of the caller and returns its address. `None`, and nothing has
    /// changed, where framehop must be asked: the end of the stack and errors among them.
    fn apply(
        self,
        regs: &mut UnwindRegsNative,
        read: &mut impl FnMut(u64) -> Result<u64, ()>,
    ) -> Option<u64> {
        let (sp, bp) = (regs.sp(), regs.bp());
        let words = u64::from(self.0 >> Rule::SAVED_BITS);
        let saved = u64::from(self.0) & ((1 << Rule::SAVED_BITS) - 1);
        let caller_sp = match self {
            Rule::ASK => return None,
            Rule::FRAME_POINTER if bp == 0 => return None,
            Rule::FRAME_POINTER => bp.checked_add(2 * WORD)?,
            _ => sp.checked_add(words * WORD)?,
        };
        if caller_sp <= sp {
            return None;
        }
        let caller_bp = match saved {
            0 => bp,
            _ => read(caller_sp.checked_sub(saved * WORD)?).ok()?,
        };
        let return_address = read(caller_sp.checked_sub(WORD)?).ok()?;
        if return_address == 0 {
            return None;
        }
        regs.set_ip(return_address);
        regs.set_sp(caller_sp);
        regs.set_bp(caller_bp);
        Some(return_address)
    }

    /// The rule that framehop has for an address, by what it reads and sets.
    fn learn(unwinder: &ModuleUnwinder, address: FrameAddress, cache: &mut Cache) -> Rule {
        // Further apart than any rule reaches.
        const SP: u64 = 1 << 32;
        const BP: u64 = 1 << 40;
        const SAVED_BP: u64 = 1 << 44;
        const RETURN_ADDRESS: u64 = 1 << 45;
        let mut reads = [0; 2];
        let mut observe = || {
            let mut regs = UnwindRegsNative::new(address.address(), SP, BP);
            let mut count = 0;
            let hits = cache.stats().hits();
            let found = unwinder.unwind_frame(address, &mut regs, cache, &mut |at| {
                *reads.get_mut(count).ok_or(())? = at;
                count += 1;
                Ok(if count == 1 { SAVED_BP } else { RETURN_ADDRESS })
            });
            let cached = cache.stats().hits() > hits;
            (cached && matches!(found, Ok(Some(_))), count, regs)
        };
        // The first call makes framehop look the rule up, if it has a rule.
        observe();
        let (known, count, regs) = observe();
        let words = regs.sp().wrapping_sub(SP) / WORD;
        let return_address_at = regs.sp().wrapping_sub(WORD);
        match reads.get(..count) {
            Some(&[at]) if known && at == return_address_at && regs.bp() == BP => {
                Rule::from_stack_pointer(words, 0)
            }
            Some(&[saved_at, at]) if known && at == return_address_at && regs.bp() == SAVED_BP => {
                match regs.sp().checked_sub(saved_at) {
                    Some(16) if saved_at == BP => Some(Rule::FRAME_POINTER),
                    Some(below) if below > 0 => Rule::from_stack_pointer(words, below / WORD),
                    _ => None,
                }
            }
            _ => None,
        }
        .unwrap_or(Rule::ASK)
    }
}

/// A return address in the upper 48 bits, its rule in the lower 16; 0 where there is none.
#[derive(Clone, Copy)]
struct Entry(u64);

impl Entry {
    fn new(address: u64, rule: Rule) -> Option<Entry> {
        (address < 1 << 48).then_some(Entry(address << 16 | u64::from(rule.0)))
    }

    fn address(self) -> u64 {
        self.0 >> 16
    }

    fn rule(self) -> Rule {
        Rule(self.0 as u16)
    }
}

type Bucket = [Entry; WAYS];

/// The rules of the return addresses that were met lately, of one list of modules.
pub(crate) struct Rules {
    buckets: Vec<Bucket>,
    /// Address of the unwinder that they are from. Lists of modules are never freed.
    from: usize,
    lookups: u32,
    evictions: u32,
}

impl Rules {
    /// Keeps nothing until [`grow_if_needed`](Self::grow_if_needed).
    pub(crate) const fn new() -> Rules {
        Rules {
            buckets: Vec::new(),
            from: 0,
            lookups: 0,
            evictions: 0,
        }
    }

    /// framehop's `unwind_frame`, with the same outcome.
    pub(crate) fn unwind_frame(
        &mut self,
        unwinder: &ModuleUnwinder,
        address: FrameAddress,
        regs: &mut UnwindRegsNative,
        cache: &mut Cache,
        read: &mut impl FnMut(u64) -> Result<u64, ()>,
    ) -> Result<Option<u64>, Error> {
        // In the innermost frame framehop forgives what it does not further out.
        if address.is_return_address()
            && !self.buckets.is_empty()
            && let Some(caller) = self.rule(unwinder, address, cache).apply(regs, read)
        {
            return Ok(Some(caller));
        }
        unwinder.unwind_frame(address, regs, cache, read)
    }

    fn rule(
        &mut self,
        unwinder: &ModuleUnwinder,
        address: FrameAddress,
        cache: &mut Cache,
    ) -> Rule {
        let from = std::ptr::from_ref(unwinder) as usize;
        if self.from != from {
            self.buckets.fill([Entry(0); WAYS]);
            self.from = from;
        }
        self.lookups = self.lookups.saturating_add(1);
        let known = self.bucket(address.address()).and_then(|bucket| {
            let mut entries = bucket.iter();
            entries.find(|entry| entry.address() == address.address())
        });
        match known {
            Some(entry) => entry.rule(),
            None => {
                let rule = Rule::learn(unwinder, address, cache);
                if let Some(entry) = Entry::new(address.address(), rule) {
                    self.keep(entry);
                }
                rule
            }
        }
    }

    fn bucket(&mut self, address: u64) -> Option<&mut Bucket> {
        // The upper bits of a multiplicative hash.
        let hash = address.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32;
        let mask = self.buckets.len().wrapping_sub(1);
        self.buckets.get_mut(hash as usize & mask)
    }

    /// Puts a rule first in its bucket; the one that has been there longest goes.
    fn keep(&mut self, entry: Entry) {
        let Some(bucket) = self.bucket(entry.address()) else {
            return;
        };
        bucket.rotate_right(1);
        let [first, ..] = bucket;
        let evicted = std::mem::replace(first, entry);
        self.evictions = self.evictions.saturating_add(u32::from(evicted.0 != 0));
    }

    /// Doubles the table if it is too small; it stays as it is if there is no memory. Allocates
    /// and frees muted. Returns by how many bytes it has grown.
    pub(crate) fn grow_if_needed(&mut self) -> usize {
        let before = self.buckets.len();
        if before == MAX_BUCKETS || (before > 0 && !self.is_too_small()) {
            return 0;
        }
        let len = (before * 2).max(FIRST_BUCKETS);
        let _muted = Muted::new();
        let mut larger = Vec::new();
        if larger.try_reserve_exact(len).is_err() {
            return 0;
        }
        larger.resize(len, [Entry(0); WAYS]);
        let old = std::mem::replace(&mut self.buckets, larger);
        for entry in old.iter().flat_map(|bucket| bucket.iter().rev()) {
            if entry.0 != 0 {
                self.keep(*entry);
            }
        }
        (len - before) * size_of::<Bucket>()
    }

    fn is_too_small(&mut self) -> bool {
        if self.lookups < JUDGED_LOOKUPS {
            return false;
        }
        let too_small = self.evictions > self.lookups / LOOKUPS_PER_EVICTION;
        (self.lookups, self.evictions) = (0, 0);
        too_small
    }
}

#[cfg(test)]
mod tests {
    use super::super::modules;
    use super::*;
    use rand::rngs::SmallRng;
    use rand::{Rng, SeedableRng};

    /// A made-up word of the stack, the same each time; some cannot be read, some are 0.
    fn word(seed: u64, at: u64) -> Result<u64, ()> {
        let word = super::super::sampler::mix(seed ^ at);
        match word % 16 {
            0 => Err(()),
            1 => Ok(0),
            _ => Ok(word >> 8),
        }
    }

    fn outcome(
        found: Result<Option<u64>, Error>,
        regs: &UnwindRegsNative,
    ) -> (Result<Option<u64>, Error>, [u64; 3]) {
        (found, [regs.ip(), regs.sp(), regs.bp()])
    }

    /// Any difference would put a frame into a stack that is not there, or end it too early.
    #[test]
    fn every_step_is_framehops_step() {
        const SEED: u64 = 0x7275_6c65;
        const ADDRESSES: usize = 100_000;
        modules::load();
        let list = modules::current().unwrap();
        let mut rng = SmallRng::seed_from_u64(SEED);
        let mut rules = Rules::new();
        rules.grow_if_needed();
        let (mut cache, mut reference) = (Cache::default(), Cache::default());
        let mut by_rule = 0;
        for _ in 0..ADDRESSES {
            let module = &list.modules[rng.random_range(0..list.modules.len())];
            let address = rng.random_range(module.range.clone()) as u64;
            let address = FrameAddress::from_return_address(address).unwrap();
            // A few times, so that a rule is both learned and found.
            for _ in 0..3 {
                let rule = rules.rule(&list.unwinder, address, &mut cache);
                by_rule += usize::from(rule != Rule::ASK);
                let seed = rng.random();
                // The ends of the number range only where there is a rule: elsewhere framehop's own
                // arithmetic overflows.
                let registers = || {
                    let mut rng = SmallRng::seed_from_u64(seed);
                    let sp = match rng.random_range(0..8) {
                        0 if rule != Rule::ASK => rng.random_range(2..512) * WORD,
                        1 if rule != Rule::ASK => u64::MAX - rng.random_range(0..8) * WORD,
                        _ => rng.random_range(1 << 20..1 << 46),
                    };
                    let bp = match rng.random_range(0..8) {
                        0 if rule != Rule::ASK => 0,
                        1 if rule != Rule::ASK => rng.random(),
                        _ => sp.wrapping_add(rng.random_range(0..1 << 12)),
                    };
                    UnwindRegsNative::new(address.address(), sp, bp)
                };
                let (mut ours, mut theirs) = (registers(), registers());
                let mut read = |at| word(seed, at);
                let found =
                    rules.unwind_frame(&list.unwinder, address, &mut ours, &mut cache, &mut read);
                let expected =
                    list.unwinder
                        .unwind_frame(address, &mut theirs, &mut reference, &mut read);
                assert_eq!(
                    outcome(found, &ours),
                    outcome(expected, &theirs),
                    "{address:?} {rule:?}"
                );
            }
            rules.grow_if_needed();
        }
        assert!(
            by_rule > ADDRESSES,
            "{by_rule} steps of {} were by a rule",
            3 * ADDRESSES
        );
        assert_eq!(
            rules.buckets.len(),
            MAX_BUCKETS,
            "so many addresses fill the table"
        );
    }

    /// A rule of code that was unloaded would lead astray where other code was loaded since.
    #[test]
    fn another_list_of_modules_forgets_all_rules() {
        modules::load();
        let old = modules::current().unwrap();
        modules::load();
        let new = modules::current().unwrap();
        assert!(!std::ptr::eq(old, new));
        let mut rules = Rules::new();
        rules.grow_if_needed();
        let mut cache = Cache::default();
        let address = another_list_of_modules_forgets_all_rules as *const () as u64 + 1;
        let address = FrameAddress::from_return_address(address).unwrap();
        rules.rule(&old.unwinder, address, &mut cache);
        let wrong = Entry::new(
            address.address(),
            Rule::from_stack_pointer(4095, 15).unwrap(),
        );
        let learned = Rule::learn(&old.unwinder, address, &mut cache);
        rules.bucket(address.address()).unwrap()[0] = wrong.unwrap();
        assert_ne!(rules.rule(&old.unwinder, address, &mut cache), learned);
        assert_eq!(rules.rule(&new.unwinder, address, &mut cache), learned);
    }
}
