use super::*;

/// Prints what is found for traced stacks: `S size address…` lines, addresses from the base.
#[test]
#[ignore = "a tool: HW_BIN=binary HW_STACKS=file"]
fn print_stacks() {
    let binary = std::env::var("HW_BIN").unwrap();
    let stacks = std::fs::read_to_string(std::env::var("HW_STACKS").unwrap()).unwrap();
    let id = std::process::Command::new("readelf")
        .args(["-n", &binary])
        .output()
        .unwrap();
    let id = String::from_utf8_lossy(&id.stdout).into_owned();
    let id = id
        .split("Build ID: ")
        .nth(1)
        .map(|rest| rest.lines().next().unwrap().to_string());
    let modules = [Module {
        path: binary,
        build_id: id,
        start: 0,
        end: 1 << 40,
        bias: 0,
    }];
    for line in stacks.lines() {
        let Some(rest) = line.strip_prefix("S ") else {
            println!("{line}");
            continue;
        };
        let mut words = rest.split(' ');
        let size = words.next().unwrap();
        let locations: Vec<Location> = words
            .map(|word| u64::from_str_radix(word, 16).unwrap())
            .map(|address| Location {
                address,
                module: (address < 1 << 32).then_some(0),
            })
            .collect();
        let resolved = resolve(&modules, &locations);
        let frames: Vec<&Frame> = resolved.iter().flat_map(|frames| frames.iter()).collect();
        let at = frames
            .iter()
            .position(|f| f.function == "chat::trace")
            .map_or(0, |at| at + 1);
        let at = at
            + frames[at..]
                .iter()
                .take_while(|f| {
                    f.function.contains("chat::alloc") || f.function.contains("realloc")
                })
                .count();
        let stack = || frames[at..].iter().copied();
        println!(
            "S {size} type={:?} task={:?} site={:?} own={:?}",
            allocated_type(stack()),
            spawned_task(stack()),
            call_site(stack()).map(|i| &stack().nth(i).unwrap().function),
            own_frame(stack()).map(|i| &stack().nth(i).unwrap().function),
        );
        for f in &frames {
            println!(
                "   {} {:?} {} {:?}:{}",
                if f.inlined { "i" } else { " " },
                f.origin,
                f.function,
                f.file.as_deref().unwrap_or("-"),
                f.line.unwrap_or(0)
            );
        }
    }
}
