//! Who asks, and what they may see and do.

use farwatch_shared::id::{CustomerId, UserId};

use crate::store::value::words;

words! {
    /// What a person may do. Each may see everything in their scope.
    pub enum Role {
        /// Everything.
        Admin => "admin",
        /// Sees; acknowledges, mutes, renames, notes.
        Operator => "operator",
        /// Sees; join tokens, probes, site configuration.
        Technician => "technician",
        /// Sees.
        Viewer => "viewer",
    }
}

words! {
    /// What a route asks of who calls it. A route cannot be added without saying one.
    pub enum Permission {
        /// Nothing: set-up, signing in, health.
        Public => "public",
        /// Signed in.
        See => "see",
        /// Acknowledge, mute, rename, note.
        Operate => "operate",
        /// Join tokens, probes, sites' configuration.
        Install => "install",
        /// Customers, users, channels, audit.
        Administer => "administer",
        /// Only through the control socket of this machine.
        Local => "local",
    }
}

impl Role {
    /// Whether this role has that permission.
    #[must_use]
    pub const fn may(self, permission: Permission) -> bool {
        match permission {
            Permission::Public | Permission::See => true,
            Permission::Operate => matches!(self, Self::Admin | Self::Operator),
            Permission::Install => matches!(self, Self::Admin | Self::Technician),
            Permission::Administer => matches!(self, Self::Admin),
            Permission::Local => false,
        }
    }
}

/// A person's view: all customers or one, and the role they act in.
///
/// Made only by `auth`: from a login session, or for the control socket of this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scope {
    who: String,
    user: Option<UserId>,
    role: Role,
    customer: Option<CustomerId>,
    from_address: String,
    local: bool,
}

impl Scope {
    pub(super) const fn of_user(
        who: String,
        user: UserId,
        role: Role,
        customer: Option<CustomerId>,
        from_address: String,
    ) -> Self {
        Self {
            who,
            user: Some(user),
            role,
            customer,
            from_address,
            local: false,
        }
    }

    pub(super) fn of_local_root(who: String) -> Self {
        Self {
            who,
            user: None,
            role: Role::Admin,
            customer: None,
            from_address: "local".to_owned(),
            local: true,
        }
    }

    /// The name that audit entries carry.
    #[must_use]
    pub fn who(&self) -> &str {
        &self.who
    }

    /// The person; `None` for the control socket.
    #[must_use]
    pub const fn user(&self) -> Option<UserId> {
        self.user
    }

    /// In which role.
    #[must_use]
    pub const fn role(&self) -> Role {
        self.role
    }

    /// `None` is all customers; else the only one that exists for this person.
    #[must_use]
    pub const fn customer(&self) -> Option<CustomerId> {
        self.customer
    }

    /// Where they sit.
    #[must_use]
    pub fn from_address(&self) -> &str {
        &self.from_address
    }

    /// Whether rows of `customer` exist for this person.
    #[must_use]
    pub fn sees(&self, customer: CustomerId) -> bool {
        self.customer.is_none_or(|mine| mine == customer)
    }

    /// Whether they may do what `permission` says.
    #[must_use]
    pub const fn may(&self, permission: Permission) -> bool {
        if self.local {
            return true;
        }
        self.role.may(permission)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_signed_in_may_do_what_only_this_machine_may() {
        for role in Role::ALL {
            assert!(!role.may(Permission::Local));
            assert!(role.may(Permission::See));
        }
        assert!(Scope::of_local_root("root".to_owned()).may(Permission::Local));
    }

    #[test]
    fn a_narrowed_person_sees_one_customer() {
        let (mine, other) = (CustomerId::generate(), CustomerId::generate());
        let scope = Scope::of_user(
            "v".into(),
            UserId::generate(),
            Role::Admin,
            Some(mine),
            "::1".into(),
        );
        assert!(scope.sees(mine) && !scope.sees(other));
    }
}
