/** HTTP/2 on links: every live path keeps one `OpenPath` stream, beside the few calls of signalling. */

import { limits } from "../lib/limits.ts";
import { type Http2Profile, linkHttp2 } from "../rpc/http2-profile.ts";

export const nodeLinkHttp2: Http2Profile = {
  ...linkHttp2,
  streamsMaxCount: limits.linkStreamsMaxCount + limits.linkPathsMaxCount,
};
