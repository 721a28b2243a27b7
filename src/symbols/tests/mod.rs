mod cache;
mod fixture;
mod kinds;
mod names;
mod paths;
mod process;
mod resolving;
mod sites;
