export { type Backoff, backoffMs } from "./backoff.js";
export { type ClientOptions, LeadfleetClient, type ListOptions, type StartOptions } from "./client.js";
export type { ConnectionState, Transport } from "./connection.js";
export {
  ConnectionLost,
  ControlError,
  type FieldProblem,
  LeadfleetError,
  NetworkError,
  ProblemError,
} from "./errors.js";
export type {
  Channel,
  CoordinatesEvent,
  EnrichedEvent,
  GapEvent,
  LogEvent,
  PhoneBox,
  ProgressEvent,
  ResultEvent,
  StreamEvent,
  TaskEvent,
} from "./events.js";
export {
  ExportFailed,
  type ExportFormat,
  type FlatWhere,
  type ReadyExport,
  type WaitOptions,
} from "./exports.js";
export type { paths } from "./generated/openapi.js";
export type { HeartbeatTimes } from "./heartbeat.js";
export type { CallOptions, RetryLimits } from "./http.js";
export { BoxTracker } from "./live/boxes.js";
export {
  Control,
  type ControlEnd,
  type ControlOptions,
  type ControlState,
  type PointerButton,
} from "./live/control.js";
export type { Frame, FrameInfo, FrameStream, FrameStreamOptions } from "./live/frames.js";
export {
  backingSize,
  contain,
  type Point,
  placeBox,
  type Rect,
  type Size,
  viewportPoint,
} from "./live/geometry.js";
export { type BindOptions, bindControl } from "./live/input.js";
export { LEAVE_CHORD } from "./live/keys.js";
export { LiveView, type LiveViewOptions, type PlacedBox } from "./live/view.js";
export type * from "./schemas.js";
export type { SubscribeOptions, Subscription } from "./subscription.js";
export type { Wake, Wakes } from "./wakes.js";
export type { WebSocketConstructor, WebSocketLike } from "./websocket.js";
