//! The wire between taskscope's eBPF programs and its daemon.
#![no_std]
