//! The contract of business: ids, error codes and events.
//!
//! Nobody calls business; others learn from its events. Infrastructure and inference never depend on it.

pub mod codes;
pub mod community_events;
pub mod doors;
pub mod events;

backlot_foundation_ids::typed_id!(
    /// Names a run of a tool. Its hold and its job have the same UUID.
    RunId
);

backlot_foundation_ids::typed_id!(
    /// Names a review: something that moderation withheld and a person decides about.
    ReviewId
);

backlot_foundation_ids::typed_id!(
    /// Names a published post.
    PostId
);

backlot_foundation_ids::typed_id!(
    /// Names a comment on a post.
    CommentId
);

backlot_foundation_ids::typed_id!(
    /// Names a remix: the act that makes a board from a post.
    RemixId
);

backlot_foundation_ids::typed_id!(
    /// Names a notification of a person.
    NotificationId
);

backlot_foundation_ids::typed_id!(
    /// Names a case of moderation: one reported thing, with all reports of it.
    CaseId
);

backlot_foundation_ids::typed_id!(
    /// Names a board of the canvas.
    BoardId
);

backlot_foundation_ids::typed_id!(
    /// Names a run of a board: one price, with runs of tools as its children.
    BoardRunId
);

backlot_foundation_ids::typed_id!(
    /// Names a take: what one run made for one node. It never changes.
    TakeId
);

backlot_foundation_ids::typed_id!(
    /// Names a comment on a board.
    BoardCommentId
);

backlot_foundation_ids::typed_id!(
    /// Names a share link of a board.
    BoardShareId
);
