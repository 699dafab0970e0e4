// Requests to the program that served this page, and to nothing else.
import {signal} from '@preact/signals';

export interface ModelInfo {
  name: string;
  path: string;
  version: string;
  parameters: number;
  bytes: number;
  type: string;
  layers: number;
  width: number;
  vocabulary: number;
  context: number;
  chat_template: string;
  digest: string;
  loaded: boolean;
}
export interface About {
  program: string;
  models: ModelInfo[];
  runs: boolean;
  control: boolean;  // whether runs may be stopped and begun
}

export class ApiError extends Error {
  constructor(readonly status: number, message: string) {
    super(message);
  }
}

export const apiKey = signal(sessionStorage.getItem('key') ?? '');
// The server has refused a request without a key, or with a wrong one.
export const keyWanted = signal(false);
export const about = signal<About | null>(null);
export const modelName = signal(localStorage.getItem('model') ?? '');

export function setKey(key: string) {
  apiKey.value = key;
  sessionStorage.setItem('key', key);
  keyWanted.value = false;
}

export function currentModel(): ModelInfo | undefined {
  const models = about.value?.models ?? [];
  return models.find((one) => one.name === modelName.value) ?? models[0];
}

export async function loadAbout() {
  about.value = await get<About>('v1/aviary/about');
  return about.value;
}

async function failure(response: Response): Promise<ApiError> {
  const text = await response.text();
  let message = text.slice(0, 500) || response.statusText;
  try {
    const error = JSON.parse(text).error;
    message = typeof error === 'string' ? error : error.message;
  } catch { /* not JSON: the text itself */ }
  if (response.status === 401) keyWanted.value = true;
  return new ApiError(response.status, message);
}

export async function request(method: string, path: string, body?: unknown, stop?: AbortSignal): Promise<Response> {
  const headers: Record<string, string> = {};
  if (body !== undefined) headers['Content-Type'] = 'application/json';
  if (apiKey.value) headers['Authorization'] = 'Bearer ' + apiKey.value;
  let response;
  try {
    response = await fetch(path, {method, headers, body: body === undefined ? null : JSON.stringify(body), signal: stop ?? null});
  } catch (error) {
    if (stop?.aborted) throw error;
    throw new ApiError(0, 'The program does not answer. Does it still run?');
  }
  if (!response.ok) throw await failure(response);
  return response;
}

export async function get<T>(path: string, stop?: AbortSignal): Promise<T> {
  return (await request('GET', path, undefined, stop)).json();
}
export async function post<T>(path: string, body: unknown, stop?: AbortSignal): Promise<T> {
  return (await request('POST', path, body, stop)).json();
}

// The events of a stream, as JSON.
export async function* events(path: string, body: unknown, stop?: AbortSignal): AsyncGenerator<any> {
  const response = await request('POST', path, body, stop);
  const reader = response.body!.pipeThrough(new TextDecoderStream()).getReader();
  let rest = '';
  while (true) {
    const {done, value} = await reader.read();
    if (done) return;
    rest += value;
    let end;
    while ((end = rest.indexOf('\n\n')) >= 0) {
      const event = rest.slice(0, end);
      rest = rest.slice(end + 2);
      for (const line of event.split('\n')) {
        if (!line.startsWith('data: ') || line === 'data: [DONE]') continue;
        const json = JSON.parse(line.slice(6));
        if (json.error) throw new ApiError(500, json.error.message ?? String(json.error));
        yield json;
      }
    }
  }
}

export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
export function wasStopped(error: unknown): boolean {
  return error instanceof DOMException && error.name === 'AbortError';
}
