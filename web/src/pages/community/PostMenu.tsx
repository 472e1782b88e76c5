import * as Menu from "@radix-ui/react-dropdown-menu";
import { useQueryClient } from "@tanstack/react-query";
import { useState } from "react";
import { useNavigate } from "react-router";
import { api } from "../../api/http";
import { socialKeys, type Post } from "../../api/social";
import { dropPosts, useTie } from "../../api/useSocial";
import { Button, Icon, uiCss, useCopy } from "../../ui";
import { useToasts } from "../../ui/toasts";
import { EditPostDialog } from "./EditPostDialog";
import { ReportDialog } from "./ReportDialog";

/** Everything else that one may do with a post: its link, and the ways out for what one does not want to see. */
export function PostMenu({ post, mine }: { post: Post; mine: boolean }) {
  const { copy } = useCopy();
  const [dialog, setDialog] = useState<"report" | "edit" | null>(null);
  const tie = useTie();
  const client = useQueryClient();
  const navigate = useNavigate();
  const { say, later, sayProblem } = useToasts();
  const handle = post.author.handle;
  const away = (kind: "mute" | "block") => {
    tie.mutate({ handle, tie: kind, on: true });
    dropPosts(client, (one) => one.author.handle === handle);
    say({
      title: kind === "mute" ? `${post.author.name} is muted` : `${post.author.name} is blocked`,
      text:
        kind === "mute"
          ? "Their work does not come up on your wall."
          : "You do not see each other’s work, and they cannot comment on yours.",
      action: { label: "Undo", run: () => tie.mutate({ handle, tie: kind, on: false }) },
    });
    void navigate("/community");
  };
  const remove = () => {
    dropPosts(client, (one) => one.id === post.id);
    void navigate("/community");
    later(
      { title: `${post.title} is being taken down`, text: "The picture stays in your library." },
      () =>
        void api
          .delete(`/v1/posts/${post.id}`)
          .then(() => client.removeQueries({ queryKey: socialKeys.post(post.id) }), sayProblem),
      () => void client.invalidateQueries({ queryKey: socialKeys.posts }),
    );
  };
  return (
    <>
      <Menu.Root>
        <Menu.Trigger asChild>
          <Button look="quiet" icon="more" aria-label="More about this post" />
        </Menu.Trigger>
        <Menu.Portal>
          <Menu.Content className={uiCss.menu} align="end" sideOffset={4} collisionPadding={8}>
            <Item icon="link" onSelect={() => void copy(`${location.origin}/community/${post.id}`, "Link copied")}>
              Copy its link
            </Item>
            {mine ? (
              <>
                <Item icon="edit" onSelect={() => setDialog("edit")}>
                  Edit
                </Item>
                <Item icon="trash" onSelect={remove}>
                  Take it down
                </Item>
              </>
            ) : (
              <>
                <Menu.Separator className={uiCss.menuLine} />
                <Item icon="flag" onSelect={() => setDialog("report")}>
                  Report…
                </Item>
                <Item icon="eyeOff" onSelect={() => away("mute")}>
                  Mute @{handle}
                </Item>
                <Item icon="close" onSelect={() => away("block")}>
                  Block @{handle}
                </Item>
              </>
            )}
          </Menu.Content>
        </Menu.Portal>
      </Menu.Root>
      {dialog === "report" && (
        <ReportDialog what={`“${post.title}”`} report={{ post_id: post.id }} onClose={() => setDialog(null)} />
      )}
      {dialog === "edit" && <EditPostDialog post={post} onClose={() => setDialog(null)} />}
    </>
  );
}

function Item({
  icon,
  onSelect,
  children,
}: {
  icon: React.ComponentProps<typeof Icon>["name"];
  onSelect: () => void;
  children: React.ReactNode;
}) {
  return (
    <Menu.Item className={uiCss.menuItem} onSelect={onSelect}>
      <Icon name={icon} /> {children}
    </Menu.Item>
  );
}
