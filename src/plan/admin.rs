//! Where health and metrics are told.

use super::compile::{Compiler, twice};
use super::{Admin, ListenAddr};
use crate::config::problem::Fault;

impl Compiler<'_> {
    /// Compiles `[admin]`, if it is there.
    pub(super) fn admin(&mut self) -> Option<Admin> {
        let admin = self.config.admin.as_ref()?;
        let origin = &self.config.admin_origin;
        for fault in twice(&admin.listen) {
            self.findings.fault_in(origin, fault);
        }
        for address in &admin.listen.0 {
            let own = &self.config.server.listen.0;
            if matches!(address.get_ref(), ListenAddr::Systemd(_)) {
                let message = "no socket is passed for `[admin]`: it opens one itself";
                let fault = Fault::at(address.span(), message)
                    .help("an address that only this process has, such as \"127.0.0.1:9090\"");
                self.findings.fault_in(origin, fault);
            } else if own.iter().any(|own| own.get_ref().address.overlaps(address.get_ref())) {
                let fault = Fault::at(address.span(), "requests to the API arrive there")
                    .help("`[admin]` has an address or a port of its own");
                self.findings.fault_in(origin, fault);
            } else if !address.get_ref().is_local() {
                let message = format!("whoever reaches {} reads the metrics", address.get_ref());
                let fault = Fault::at(address.span(), message)
                    .help("no key is asked for there: let a firewall or the network see to it");
                self.findings.warn_in(origin, fault);
            }
        }
        let listen = admin.listen.0.iter().map(|address| address.get_ref().clone()).collect();
        Some(Admin { listen, counted_keys: admin.counted_keys.number() as usize })
    }
}
