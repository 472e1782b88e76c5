import * as Menu from "@radix-ui/react-dropdown-menu";
import { useInfiniteQuery, useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { useParams } from "react-router";
import { ProblemError } from "../../api/problem";
import { postsQuery, profileQuery, type Profile } from "../../api/social";
import { useTie } from "../../api/useSocial";
import { Page, useTitle } from "../../app/Page";
import { date, plural } from "../../lib/format";
import { Button, ButtonLink, Empty, Icon, Loaded, uiCss, useCopy } from "../../ui";
import { Avatar } from "../../ui/Avatar";
import { FollowButton } from "../community/FollowButton";
import { PostWall } from "../community/PostWall";
import { ReportDialog } from "../community/ReportDialog";
import css from "./people.module.css";

/** A person as others see them: who they say they are, and their work. */
export default function ProfilePage() {
  const { handle = "" } = useParams();
  const profile = useQuery(profileQuery(handle));
  if (profile.error instanceof ProblemError && profile.error.problem.status === 404) {
    return (
      <Page title="Nobody has this handle">
        <Empty
          title={`@${handle} is not here`}
          actions={
            <ButtonLink look="primary" to="/community">
              See what is on the wall
            </ButtonLink>
          }
        >
          They may have left, or one of you has blocked the other.
        </Empty>
      </Page>
    );
  }
  if (!profile.data)
    return (
      <Page title="A profile">
        <Loaded of={profile}>{() => null}</Loaded>
      </Page>
    );
  return <Shown key={handle} profile={profile.data} />;
}

function Shown({ profile }: { profile: Profile }) {
  useTitle(profile.name);
  const mine = profile.is_me;
  const posts = useInfiniteQuery(postsQuery({ feed: "new", author: profile.handle }));
  return (
    <div className={css.page}>
      <header className={css.head}>
        <Avatar of={profile} size={88} />
        <div className={css.who}>
          <h1>{profile.name}</h1>
          <p className={css.handle}>
            @{profile.handle} · here since {date(profile.created_at)}
          </p>
          {profile.bio && <p className={css.bio}>{profile.bio}</p>}
          <p className={css.counts}>
            {plural(profile.posts, "post", "posts")} · {plural(profile.followers, "follower", "followers")} · follows{" "}
            {profile.following}
          </p>
        </div>
        <div className={css.actions}>
          {mine ? (
            <ButtonLink to="/profile" icon="edit">
              Edit the profile
            </ButtonLink>
          ) : (
            <>
              <FollowButton handle={profile.handle} />
              <ProfileMenu profile={profile} />
            </>
          )}
        </div>
      </header>
      {profile.blocked || profile.muted ? (
        <Held profile={profile} />
      ) : (
        <PostWall
          posts={posts}
          byline={false}
          label={`Work of ${profile.name}`}
          empty={
            <Empty
              title={mine ? "You have published nothing yet" : "Nothing is published yet"}
              actions={
                mine ? (
                  <ButtonLink to="/library?publish=1" look="primary" icon="publish">
                    Publish something
                  </ButtonLink>
                ) : undefined
              }
            >
              {mine
                ? "Choose a picture, a clip or a film from your library. You say what is shared with it."
                : "Follow them, and what they publish first comes up on your wall."}
            </Empty>
          }
        />
      )}
    </div>
  );
}

/** Somebody whom one does not want to see stays out of sight on their own page too, until one says otherwise. */
function Held({ profile }: { profile: Profile }) {
  const tie = useTie();
  const kind = profile.blocked ? "block" : "mute";
  return (
    <Empty
      title={profile.blocked ? "You have blocked them" : "You have muted them"}
      actions={
        <Button onClick={() => tie.mutate({ handle: profile.handle, tie: kind, on: false })}>
          {profile.blocked ? "Unblock" : "Unmute"} @{profile.handle}
        </Button>
      }
    >
      {profile.blocked
        ? "You do not see each other’s work, and they cannot comment on yours."
        : "Their work does not come up on your wall. They are not told."}
    </Empty>
  );
}

function ProfileMenu({ profile }: { profile: Profile }) {
  const tie = useTie();
  const { copy } = useCopy();
  const [report, setReport] = useState(false);
  const { handle } = profile;
  return (
    <>
      <Menu.Root>
        <Menu.Trigger asChild>
          <Button look="quiet" icon="more" aria-label={`More about ${profile.name}`} />
        </Menu.Trigger>
        <Menu.Portal>
          <Menu.Content className={uiCss.menu} align="end" sideOffset={4} collisionPadding={8}>
            <Menu.Item
              className={uiCss.menuItem}
              onSelect={() => void copy(`${location.origin}/people/${handle}`, "Link copied")}
            >
              <Icon name="link" /> Copy the link
            </Menu.Item>
            <Menu.Separator className={uiCss.menuLine} />
            <Menu.Item className={uiCss.menuItem} onSelect={() => setReport(true)}>
              <Icon name="flag" /> Report…
            </Menu.Item>
            <Menu.Item
              className={uiCss.menuItem}
              onSelect={() => tie.mutate({ handle, tie: "mute", on: !profile.muted })}
            >
              <Icon name={profile.muted ? "eye" : "eyeOff"} /> {profile.muted ? "Unmute" : "Mute"} @{handle}
            </Menu.Item>
            <Menu.Item
              className={uiCss.menuItem}
              onSelect={() => tie.mutate({ handle, tie: "block", on: !profile.blocked })}
            >
              <Icon name={profile.blocked ? "check" : "close"} /> {profile.blocked ? "Unblock" : "Block"} @{handle}
            </Menu.Item>
          </Menu.Content>
        </Menu.Portal>
      </Menu.Root>
      {report && <ReportDialog what={`@${handle}`} report={{ handle }} onClose={() => setReport(false)} />}
    </>
  );
}
