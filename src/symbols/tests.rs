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
            .position(|f| &*f.function == "chat::trace")
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

fn rss() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    let pages: usize = statm.split(' ').nth(1).unwrap().parse().unwrap();
    pages * 4096
}

#[test]
#[ignore = "bench"]
fn ten_thousand() {
    use ::object::{Object as _, ObjectSection as _};
    let path = std::env::var("HW_BIN")
        .unwrap_or_else(|_| std::env::current_exe().unwrap().to_str().unwrap().into());
    let count: u64 = std::env::var("HW_N").map_or(10_000, |n| n.parse().unwrap());
    let (text, id) = {
        let bytes = std::fs::read(&path).unwrap();
        let object = ::object::File::parse(&*bytes).unwrap();
        let s = object.section_by_name(".text").unwrap();
        let id: String = object
            .build_id()
            .unwrap()
            .unwrap()
            .iter()
            .map(|b| format!("{b:02x}"))
            .collect();
        (s.address()..s.address() + s.size(), id)
    };
    let modules = [Module {
        path: path.clone(),
        build_id: Some(id),
        start: 0,
        end: 1 << 40,
        bias: 0,
    }];
    let step = (text.end - text.start) / count;
    let locations: Vec<Location> = (0..count)
        .map(|i| Location {
            address: text.start + i * step + 1,
            module: Some(0),
        })
        .collect();
    let before = rss();
    let start = std::time::Instant::now();
    let first = resolve(&modules, &locations);
    let first_time = start.elapsed();
    let after = rss();
    let start = std::time::Instant::now();
    let second = resolve(&modules, &locations);
    let second_time = start.elapsed();
    let same = first
        .iter()
        .zip(&second)
        .filter(|(a, b)| Arc::ptr_eq(a, b))
        .count();
    let mut strings = std::collections::HashSet::new();
    for f in first.iter().flat_map(|f| f.iter()) {
        strings.insert(f.function.clone());
        strings.extend(f.file.clone());
    }
    println!(
        "kept {same}; distinct strings {} of {} bytes; Frame {}",
        strings.len(),
        strings.iter().map(|s| s.len()).sum::<usize>(),
        size_of::<Frame>()
    );
    let frames: usize = first.iter().map(|f| f.len()).sum();
    let text_bytes: usize = first
        .iter()
        .flat_map(|f| f.iter())
        .map(|f| f.function.len() + f.file.as_ref().map_or(0, |f| f.len()))
        .sum();
    let longest = first
        .iter()
        .flat_map(|f| f.iter())
        .map(|f| f.function.len())
        .max();
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let peak = status.lines().find(|l| l.starts_with("VmHWM")).unwrap();
    println!(
        "{path}: {} frames, text {text_bytes}, longest {longest:?}, first {first_time:?}, second {second_time:?}; rss before {before} after {after}; {peak}",
        frames
    );
}
