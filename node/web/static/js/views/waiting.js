// What waits for whoever signs here, for the numbers in the navigation; where nobody signs, for anybody.
import { signer } from "../wallet.js";

/** {members, governance}: applications and proposals on which the signer can still act. */
export function waiting(state) {
  const { applications, proposals, seats } = state.snapshot;
  const me = signer(state).account?.toLowerCase() ?? null;
  const isMe = (address) => me !== null && address?.toLowerCase() === me;
  const isSeat = me === null || seats.some((seat) => !seat.is_vacant && isMe(seat.holder));
  const open = (application) =>
    application.actions.some((action) => {
      if (action === "admit") return true;
      return isSeat && !(action === "review" && application.reviews.some((review) => isMe(review.reviewer)));
    });
  const undecided = (proposal) =>
    proposal.actions.some((action) => action !== "vote" || !proposal.votes.some((vote) => isMe(vote.voter)));
  return { members: applications.filter(open).length, governance: proposals.filter(undecided).length };
}
