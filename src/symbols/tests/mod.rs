mod cache;
mod fixture;
mod names;
mod paths;
mod process;
mod resolving;
mod sites;
