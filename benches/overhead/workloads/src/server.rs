//! An axum server that answers a fixed number of requests and ends.
//!
//! The load comes from another process, so that the server's cost is not blurred by its clients'.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::Context;
use axum::extract::State;
use axum::routing::post;
use axum::{Json, Router};
use serde::{Deserialize, Serialize};
use tokio::net::TcpListener;
use tokio::sync::Notify;

const REQUESTS: u64 = 60_000;
/// As many as `tokio::main` would start on two cores; both servers of a comparison share one core.
const WORKERS: usize = 2;
/// The orders kept per customer: enough that blocks outlive their request, bounded as a cache is.
const KEPT: usize = 8;

/// The first line that the server prints, for the load generator.
#[derive(Serialize)]
struct Ready {
    port: u16,
    requests: u64,
}

#[derive(Deserialize, Serialize, Clone)]
struct Order {
    customer: u64,
    note: String,
    items: Vec<Item>,
}

#[derive(Deserialize, Serialize, Clone)]
struct Item {
    name: String,
    quantity: u64,
    attributes: HashMap<String, String>,
}

#[derive(Serialize)]
struct Receipt {
    total: u64,
    recent: Vec<Order>,
}

#[derive(Default)]
struct Shop {
    recent: Mutex<HashMap<u64, VecDeque<Order>>>,
    quantity: AtomicU64,
    served: AtomicU64,
    done: Notify,
}

/// Serves until the last request has been answered.
pub fn run() -> anyhow::Result<u64> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(WORKERS)
        .enable_io()
        .build()
        .context("the runtime")?
        .block_on(serve())
}

async fn serve() -> anyhow::Result<u64> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
    let ready = Ready {
        port: listener.local_addr()?.port(),
        requests: REQUESTS,
    };
    println!("{}", serde_json::to_string(&ready)?);

    let shop = Arc::new(Shop::default());
    let router = Router::new()
        .route("/orders", post(order))
        .with_state(Arc::clone(&shop));
    let last = Arc::clone(&shop);
    axum::serve(listener, router)
        .with_graceful_shutdown(async move { last.done.notified().await })
        .await?;
    Ok(shop.quantity.load(Ordering::Relaxed))
}

async fn order(State(shop): State<Arc<Shop>>, Json(order): Json<Order>) -> Json<Receipt> {
    let total: u64 = order.items.iter().map(|item| item.quantity).sum();
    shop.quantity.fetch_add(total, Ordering::Relaxed);
    let recent = remember(&shop, order);
    if shop.served.fetch_add(1, Ordering::Relaxed) + 1 == REQUESTS {
        shop.done.notify_one();
    }
    Json(Receipt { total, recent })
}

/// Keeps the order and returns the customer's last two.
fn remember(shop: &Shop, order: Order) -> Vec<Order> {
    let mut recent = shop
        .recent
        .lock()
        .unwrap_or_else(|poison| poison.into_inner());
    let orders = recent.entry(order.customer).or_default();
    if orders.len() == KEPT {
        orders.pop_front();
    }
    orders.push_back(order);
    orders.iter().rev().take(2).cloned().collect()
}
