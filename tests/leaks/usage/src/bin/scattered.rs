//! An account has thirty fields, each made by a function of its own, and accounts are never let go of; the corrected code
//! keeps the last few.

use std::collections::{BTreeMap, VecDeque};

use leak_harness::times;

const ACCOUNTS_PER_BEAT: u64 = 4;
const KEPT: usize = 50;

macro_rules! fields {
    ($($field:ident)*) => {
        #[derive(Default)]
        struct Account { $($field: Option<Box<[u8]>>,)* }

        $(#[inline(never)] fn $field(id: u64) -> Option<Box<[u8]>> {
            Some(format!("{} of {id:020}: some text that is here", stringify!($field)).into_bytes().into_boxed_slice())
        })*

        fn load(id: u64) -> Account {
            Account { $($field: $field(id),)* }
        }

        impl Account {
            fn weight(&self) -> usize {
                0 $(+ self.$field.as_ref().map_or(0, |field| field.len()))*
            }
        }
    };
}

fields! {
    name street city country phone mail birthday language currency limit rating branch adviser opened closed
    frozen notes tags history partner guardian employer income rent pets hobbies colour shoes hat umbrella
}

fn main() {
    leak_harness::run(|run| {
        let mut accounts = VecDeque::new();
        let mut weights = BTreeMap::new();
        for () in run.beats() {
            for id in times(ACCOUNTS_PER_BEAT) {
                let account = load(id);
                weights.insert(id, account.weight());
                accounts.push_back(account);
                if run.healthy() && accounts.len() > KEPT {
                    accounts.pop_front();
                }
            }
        }
    });
}
