import type { JoinToken } from '../api/types';

export type StepState = 'done' | 'now' | 'pend' | 'bad';
export interface WatchSteps {
  waiting: StepState;
  connected: StepState;
  discovering: StepState;
  values: StepState;
  /** Nothing was heard for a minute: say what to check. */
  silent: boolean;
}

export const SILENT_AFTER_S = 60;

/** Where the new probe is on its way, from its token. `waited_s`: since the command was shown. */
export function watchSteps(token: JoinToken | undefined, waited_s: number): WatchSteps {
  const progress = token?.progress;
  const used = token?.state === 'used';
  const over = token?.state === 'expired' || token?.state === 'void';
  const connected = progress?.connected_at != null;
  const values = progress?.first_value_at != null;
  const found = (progress?.devices ?? 0) > 0;
  return {
    waiting: used || connected ? 'done' : over ? 'bad' : 'now',
    connected: connected ? 'done' : used ? 'now' : 'pend',
    discovering: !connected ? 'pend' : values && found ? 'done' : 'now',
    values: values ? 'done' : 'pend',
    silent: !connected && !over && waited_s >= SILENT_AFTER_S,
  };
}

/** The one line to paste, cut at its token so that the token can be marked. */
export function cutCommand(command: string, token: string): [string, string, string] {
  const at = token ? command.indexOf(token) : -1;
  if (at < 0) return [command, '', ''];
  return [command.slice(0, at), token, command.slice(at + token.length)];
}
