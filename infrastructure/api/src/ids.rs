//! What infrastructure names.

use backlot_foundation_ids::typed_id;

typed_id!(
    /// Names an account: a person or a service.
    UserId
);
typed_id!(
    /// Names an organisation, which is the tenant of everything.
    OrganisationId
);
typed_id!(
    /// Names a project of an organisation.
    ProjectId
);
typed_id!(
    /// Names a session of a person.
    SessionId
);
typed_id!(
    /// Names an API key. It is not the key.
    ApiKeyId
);
typed_id!(
    /// Names an invitation into an organisation.
    InvitationId
);
typed_id!(
    /// Names a mandate: authority and budget that somebody gave to somebody.
    MandateId
);
typed_id!(
    /// Names a grant of credits.
    GrantId
);
typed_id!(
    /// Names an asset: one piece of media.
    AssetId
);
typed_id!(
    /// Names a hold on credits. It is the same UUID as its run's and its job's.
    HoldId
);
