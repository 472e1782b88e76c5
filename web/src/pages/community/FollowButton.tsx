import { useQuery } from "@tanstack/react-query";
import { profileQuery } from "../../api/social";
import { useTie } from "../../api/useSocial";
import { Button } from "../../ui";

export function FollowButton({ handle }: { handle: string }) {
  const profile = useQuery(profileQuery(handle)).data;
  const tie = useTie();
  if (!profile || profile.blocked || profile.is_me) return null;
  const on = profile.followed;
  return (
    <Button
      icon={on ? "check" : undefined}
      aria-pressed={on}
      onClick={() => tie.mutate({ handle, tie: "follow", on: !on })}
      aria-label={`Follow ${profile.name}`}
    >
      {on ? "Following" : "Follow"}
    </Button>
  );
}
