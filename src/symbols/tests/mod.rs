mod names;
mod paths;
mod resolving;
mod sites;
