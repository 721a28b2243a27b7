//! What the kernel says of this process.

/// A line of `/proc/self/status` that is in kB, as bytes: `VmRSS`, `VmHWM`, `VmSize`.
pub fn bytes(name: &str) -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let value = status
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))
        .unwrap_or_else(|| panic!("no {name} in /proc/self/status"));
    in_bytes(value)
}

/// `  1234 kB`
fn in_bytes(text: &str) -> usize {
    let number = text.trim().trim_end_matches(" kB");
    number.parse::<usize>().unwrap() << 10
}

pub fn rss() -> usize {
    bytes("VmRSS")
}

/// A mapping of this process.
#[derive(Debug)]
pub struct Mapping {
    pub start: usize,
    pub end: usize,
    pub rss: usize,
    /// Two letters each, as `man proc_pid_smaps` lists them.
    pub flags: String,
}

impl Mapping {
    pub fn has(&self, flag: &str) -> bool {
        self.flags.split_whitespace().any(|one| one == flag)
    }
}

/// All mappings, in the order of their addresses.
pub fn mappings() -> Vec<Mapping> {
    let smaps = std::fs::read_to_string("/proc/self/smaps").unwrap();
    let mut mappings: Vec<Mapping> = Vec::new();
    for line in smaps.lines() {
        if let Some((start, end)) = range(line) {
            mappings.push(Mapping {
                start,
                end,
                rss: 0,
                flags: String::new(),
            });
        } else if let (Some(last), Some((name, value))) =
            (mappings.last_mut(), line.split_once(':'))
        {
            match name {
                "Rss" => last.rss = in_bytes(value),
                "VmFlags" => last.flags = value.trim().to_owned(),
                _ => {}
            }
        }
    }
    mappings
}

/// The addresses at the start of a mapping's first line.
fn range(line: &str) -> Option<(usize, usize)> {
    let (start, end) = line.split(' ').next()?.split_once('-')?;
    let address = |text| usize::from_str_radix(text, 16).ok();
    Some((address(start)?, address(end)?))
}
