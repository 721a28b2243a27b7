//! A headless Chromium, driven by its DevTools protocol.
#![allow(unreachable_pub)]

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::runtime::Runtime;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::{WebSocketStream, client_async_with_config};

/// How long anything may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// One browser with one tab; it ends, and its files go, when this is dropped.
pub struct Browser {
    child: Child,
    profile: PathBuf,
    runtime: Runtime,
    socket: WebSocketStream<TcpStream>,
    session: Option<String>,
    target: String,
    calls: u64,
    /// All that the tab reported, with the time at which it came in.
    pub events: Vec<(Instant, Value)>,
}

impl Browser {
    pub fn start() -> Browser {
        let profile = std::env::temp_dir().join(format!(
            "heapwatch-page-{}-{:?}",
            std::process::id(),
            std::thread::current().id()
        ));
        let _ = std::fs::remove_dir_all(&profile);
        let mut child = Command::new("chromium")
            .args([
                "--headless",
                "--no-sandbox",
                "--disable-gpu",
                "--disable-quic",
            ])
            .args(["--no-first-run", "--disable-background-networking"])
            .args([
                "--disable-component-update",
                "--disable-sync",
                "--hide-scrollbars",
            ])
            .arg("--remote-debugging-port=0")
            .arg(format!("--user-data-dir={}", profile.display()))
            .arg("about:blank")
            .stderr(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .expect("chromium is installed");
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let url = lines
            .find_map(|line| {
                Some(
                    line.ok()?
                        .split_once("DevTools listening on ")?
                        .1
                        .to_owned(),
                )
            })
            .expect("chromium says where it listens");
        // What nobody reads would make it wait.
        std::thread::spawn(move || lines.for_each(drop));
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        let socket = runtime.block_on(async {
            let host = url
                .strip_prefix("ws://")
                .unwrap()
                .split('/')
                .next()
                .unwrap();
            let stream = TcpStream::connect(host).await.unwrap();
            let config = WebSocketConfig::default()
                .max_message_size(Some(256 << 20))
                .max_frame_size(Some(256 << 20));
            let (socket, _) = client_async_with_config(url.as_str(), stream, Some(config))
                .await
                .unwrap();
            socket
        });
        let mut browser = Browser {
            child,
            profile,
            runtime,
            socket,
            session: None,
            target: String::new(),
            calls: 0,
            events: Vec::new(),
        };
        browser.open_tab();
        browser
    }

    fn open_tab(&mut self) {
        let made = self.call("Target.createTarget", json!({ "url": "about:blank" }));
        self.target = made["targetId"].as_str().unwrap().to_owned();
        let flat = json!({ "targetId": self.target, "flatten": true });
        let attached = self.call("Target.attachToTarget", flat);
        self.session = Some(attached["sessionId"].as_str().unwrap().to_owned());
        for domain in ["Page", "Runtime", "Log", "Network"] {
            self.call(&format!("{domain}.enable"), json!({}));
        }
    }

    /// Calls a method of the protocol; what is reported meanwhile goes to `events`.
    pub fn call(&mut self, method: &str, parameters: Value) -> Value {
        self.calls += 1;
        let id = self.calls;
        let mut message = json!({ "id": id, "method": method, "params": parameters });
        if let Some(session) = &self.session {
            message["sessionId"] = json!(session);
        }
        let (socket, events) = (&mut self.socket, &mut self.events);
        self.runtime.block_on(async {
            socket
                .send(Message::text(message.to_string()))
                .await
                .unwrap();
            loop {
                let next = timeout(PATIENCE, socket.next()).await;
                let next = next.unwrap_or_else(|_| panic!("no answer to {method}"));
                let Some(answer) = parsed(next) else { continue };
                if answer["id"] == id {
                    assert!(answer["error"].is_null(), "{method}: {}", answer["error"]);
                    return answer["result"].clone();
                }
                events.push((Instant::now(), answer));
            }
        })
    }

    /// Lets time pass, and takes in what is reported.
    pub fn wait(&mut self, time: Duration) {
        let end = Instant::now() + time;
        let (socket, events) = (&mut self.socket, &mut self.events);
        self.runtime.block_on(async {
            while let Ok(next) =
                timeout(end.saturating_duration_since(Instant::now()), socket.next()).await
            {
                events.extend(parsed(next).map(|event| (Instant::now(), event)));
            }
        });
    }

    /// The value of an expression in the page.
    pub fn eval(&mut self, expression: &str) -> Value {
        let options = json!({
            "expression": expression, "awaitPromise": true, "returnByValue": true
        });
        let answer = self.call("Runtime.evaluate", options);
        assert!(
            answer["exceptionDetails"].is_null(),
            "{expression}: {}",
            answer["exceptionDetails"]
        );
        answer["result"]["value"].clone()
    }

    pub fn text(&mut self, expression: &str) -> String {
        self.eval(expression)
            .as_str()
            .unwrap_or_default()
            .to_owned()
    }

    /// Waits until an expression is true.
    pub fn until(&mut self, expression: &str) {
        let end = Instant::now() + PATIENCE;
        while self.eval(&format!("Boolean({expression})")) != true {
            assert!(
                Instant::now() < end,
                "never: {expression}\n{:#?}",
                self.complaints()
            );
            self.wait(Duration::from_millis(100));
        }
    }

    pub fn go(&mut self, url: &str) {
        self.call("Page.navigate", json!({ "url": url }));
        self.until("document.readyState === 'complete' && location.href !== 'about:blank'");
    }

    pub fn size(&mut self, width: u32, height: u32) {
        let size = json!({
            "width": width, "height": height, "deviceScaleFactor": 1, "mobile": false
        });
        self.call("Emulation.setDeviceMetricsOverride", size);
    }

    pub fn scheme(&mut self, scheme: &str) {
        let feature = json!([{ "name": "prefers-color-scheme", "value": scheme }]);
        self.call("Emulation.setEmulatedMedia", json!({ "features": feature }));
    }

    /// Clicks what a selector finds.
    pub fn click(&mut self, selector: &str) {
        self.eval(&format!("document.querySelector({selector:?}).click()"));
    }

    /// Puts a value into a field as its user would.
    pub fn fill(&mut self, selector: &str, value: &str) {
        self.eval(&format!(
            "{{ const field = document.querySelector({selector:?}); field.value = {value:?}; \
             for (const kind of ['input', 'change']) \
             field.dispatchEvent(new Event(kind, {{ bubbles: true }})); }}"
        ));
    }

    /// Drags over an element, from one share of its width to another.
    pub fn drag(&mut self, selector: &str, from: f64, to: f64) {
        let place = self.eval(&format!(
            "{{ const element = document.querySelector({selector:?}); \
             element.scrollIntoView({{ block: 'center' }}); \
             const {{ x, y, width, height }} = element.getBoundingClientRect(); \
             [x, y + height / 2, width]; }}"
        ));
        let number = |index: usize| place[index].as_f64().unwrap();
        let (left, y, width) = (number(0), number(1), number(2));
        let mut mouse = |kind: &str, share: f64| {
            let event = json!({
                "type": kind, "x": left + share * width, "y": y, "button": "left", "buttons": 1,
                "clickCount": 1
            });
            self.call("Input.dispatchMouseEvent", event);
        };
        mouse("mouseMoved", from);
        mouse("mousePressed", from);
        for step in 1..=8 {
            mouse("mouseMoved", from + (to - from) * f64::from(step) / 8.0);
        }
        mouse("mouseReleased", to);
    }

    /// Presses a key; `modifiers` 8 is shift.
    pub fn key(&mut self, key: &str, modifiers: u32) {
        for kind in ["keyDown", "keyUp"] {
            let number = match key {
                "Enter" => 13,
                "Escape" => 27,
                _ => 0,
            };
            // Without it Enter presses no button.
            let text = if key == "Enter" { "\r" } else { "" };
            let event = json!({
                "type": kind, "key": key, "code": key, "modifiers": modifiers,
                "windowsVirtualKeyCode": number, "text": text
            });
            self.call("Input.dispatchKeyEvent", event);
        }
    }

    /// Shows another tab, so that nobody sees this one; returns what brings it back.
    pub fn hide(&mut self) {
        let session = self.session.take();
        let made = self.call("Target.createTarget", json!({ "url": "about:blank" }));
        self.call(
            "Target.activateTarget",
            json!({ "targetId": made["targetId"] }),
        );
        self.session = session;
        self.until("document.hidden");
    }

    pub fn show(&mut self) {
        self.call("Page.bringToFront", json!({}));
        self.until("!document.hidden");
    }

    /// A picture of what is seen, as PNG.
    pub fn shoot(&mut self, file: &Path) -> usize {
        let shot = self.call("Page.captureScreenshot", json!({ "format": "png" }));
        let bytes = base64(shot["data"].as_str().unwrap());
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(file, &bytes).unwrap();
        bytes.len()
    }

    /// The addresses that were asked for since a moment, and when.
    pub fn requests(&self, since: Instant) -> Vec<(Instant, String)> {
        let sent = self
            .events
            .iter()
            .filter(|(at, event)| *at >= since && event["method"] == "Network.requestWillBeSent");
        sent.map(|(at, event)| {
            let url = event["params"]["request"]["url"].as_str().unwrap();
            (*at, url.to_owned())
        })
        .collect()
    }

    /// Errors on the console, exceptions that nobody caught, and what the policy refused.
    pub fn complaints(&self) -> Vec<String> {
        let complaint = |event: &Value| {
            let parameters = &event["params"];
            let bad = match event["method"].as_str()? {
                "Runtime.exceptionThrown" => true,
                "Runtime.consoleAPICalled" => parameters["type"] == "error",
                "Log.entryAdded" => parameters["entry"]["level"] == "error",
                _ => false,
            };
            bad.then(|| parameters.to_string())
        };
        self.events
            .iter()
            .filter_map(|(_, event)| complaint(event))
            .collect()
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        // Its helpers may still be writing.
        for _ in 0..20 {
            if std::fs::remove_dir_all(&self.profile).is_ok() {
                return;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

fn parsed<E: std::fmt::Debug>(next: Option<Result<Message, E>>) -> Option<Value> {
    match next.expect("the browser goes on").expect("a message") {
        Message::Text(text) => Some(serde_json::from_str(&text).unwrap()),
        _ => None,
    }
}

fn base64(text: &str) -> Vec<u8> {
    const DIGITS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut bytes = Vec::with_capacity(text.len() / 4 * 3);
    let (mut bits, mut count) = (0_u32, 0);
    for byte in text.bytes().take_while(|byte| *byte != b'=') {
        let digit = DIGITS.iter().position(|digit| *digit == byte).unwrap();
        bits = bits << 6 | digit as u32;
        count += 6;
        if count >= 8 {
            count -= 8;
            bytes.push((bits >> count) as u8);
        }
    }
    bytes
}
