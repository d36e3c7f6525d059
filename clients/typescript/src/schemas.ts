import type { components, paths } from "./generated/openapi.js";

/** Every shape of the OpenAPI document by its name. */
export type Schemas = components["schemas"];

export type StartRequest = Schemas["StartRequest"];
export type Started = Schemas["Started"];
export type TaskState = Schemas["TaskState"];
export type TaskStatus = Schemas["TaskStatus"];
export type TaskPage = Schemas["TaskPage"];
export type ActionResult = Schemas["ActionResult"];
export type QueueStatus = Schemas["QueueStatus"];
export type Lead = Schemas["Lead"];
export type LeadQuery = Schemas["LeadQuery"];
export type LeadPage = Schemas["LeadPage"];
export type Where = Schemas["Where"];
export type FacetQuery = Schemas["FacetQuery"];
export type Facets = Schemas["Facets"];
export type ExportRequest = Schemas["ExportRequest"];
export type ExportView = Schemas["ExportView"];
export type StreamToken = Schemas["StreamToken"];
export type StreamTokenRequest = Schemas["StreamTokenRequest"];
export type WheelAnswer = Schemas["WheelAnswer"];
export type WhoAmI = Schemas["WhoAmI"];
export type PhoneCoordinates = Schemas["PhoneCoordinates"];

type Method = "get" | "post" | "delete";

/** Paths of the document that take `M`. */
export type PathsWith<M extends Method> = {
  [P in keyof paths]: paths[P] extends Record<M, object> ? P : never;
}[keyof paths];

type Operation<M extends Method, P extends PathsWith<M>> = paths[P] extends Record<M, infer O> ? O : never;

/** What a call answers. */
export type Answer<M extends Method, P extends PathsWith<M>> =
  Operation<M, P> extends { responses: { 200: { content: { "application/json": infer T } } } } ? T : never;

/** What a call is sent; `undefined` where it takes no body. */
export type Body<M extends Method, P extends PathsWith<M>> =
  Operation<M, P> extends { requestBody?: { content: { "application/json": infer T } } } ? T : undefined;
