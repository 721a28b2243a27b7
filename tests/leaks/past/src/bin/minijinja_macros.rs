//! minijinja 1.0.8 does not free what a macro captures: the macro and its closure hold each other.
//! <https://github.com/mitsuhiko/minijinja/issues/358>, fixed in 1.0.9.

use std::hint::black_box;

use leak_harness::times;
use minijinja::{Environment, context};

const PAGES_PER_BEAT: u64 = 6;
const PAGE: &str = "\
{% macro greet() %}Hello {{ user.name }}, order {{ user.order }}{% endmacro %}\
<p>{{ greet() }}</p>";

fn main() {
    leak_harness::run(|run| {
        let mut environment = Environment::new();
        environment
            .add_template("page", PAGE)
            .expect("a valid template");
        for () in run.beats() {
            times(PAGES_PER_BEAT).for_each(|order| page(&environment, order));
        }
    });
}

fn page(environment: &Environment, order: u64) {
    let template = environment
        .get_template("page")
        .expect("the template was added");
    let user = context! { name => format!("customer {order}"), order };
    black_box(
        template
            .render(context! { user })
            .expect("the template renders"),
    );
}
