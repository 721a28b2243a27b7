//! Statements are cached by their text, which has the values in it; the corrected text has placeholders.

use std::collections::HashMap;
use std::hint::black_box;

use leak_harness::times;

const QUERIES_PER_BEAT: u64 = 18;

enum Plan {
    Scan { table: String, columns: Vec<String> },
    Filter { condition: String, of: Box<Plan> },
    Limit { rows: u64, of: Box<Plan> },
}

impl Plan {
    fn cost(&self) -> u64 {
        match self {
            Plan::Scan { table, columns } => (table.len() + columns.len()) as u64,
            Plan::Filter { condition, of } => condition.len() as u64 + of.cost(),
            Plan::Limit { rows, of } => of.cost().min(*rows),
        }
    }
}

#[derive(Default)]
struct Statements {
    cache: HashMap<String, Plan>,
}

impl Statements {
    fn prepare(&mut self, sql: String) -> &Plan {
        self.cache.entry(sql).or_insert_with_key(|sql| plan(sql))
    }
}

fn plan(sql: &str) -> Plan {
    let columns = ["id", "owner", "balance", "currency"]
        .map(str::to_owned)
        .into();
    let scan = Plan::Scan {
        table: "accounts".to_owned(),
        columns,
    };
    let condition = sql.rsplit("where").next().unwrap_or_default().to_owned();
    Plan::Limit {
        rows: 100,
        of: Box::new(Plan::Filter {
            condition,
            of: Box::new(scan),
        }),
    }
}

fn main() {
    leak_harness::run(|run| {
        let mut statements = Statements::default();
        let mut newest = 0u64;
        for () in run.beats() {
            for _ in times(QUERIES_PER_BEAT) {
                newest += 1;
                black_box(query(&mut statements, newest, run.healthy()));
            }
        }
    });
}

fn query(statements: &mut Statements, id: u64, placeholders: bool) -> u64 {
    let value = if placeholders {
        "?".to_owned()
    } else {
        id.to_string()
    };
    let sql = format!(
        "select id, owner, balance, currency from accounts where owner = {value} limit 100"
    );
    statements.prepare(sql).cost()
}
