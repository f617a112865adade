/**
 * The names of the API's shapes, from the types generated of Central's document; nothing is typed by hand here but what
 * the document leaves open.
 *
 * Times are RFC 3339 in UTC, ids are UUID text. Text that came from a device is plain text already made safe by
 * Central; it goes into text nodes only.
 */
import type { components } from './schema';

type Schemas = components['schemas'];

export type Time = Schemas['Time'];
export type Id = Schemas['Id'];
export type State = Schemas['State'];
export type Severity = Schemas['Severity'];
export type GapReason = Schemas['GapReason'];
export type Counts = Schemas['Counts'];
export type Role = Schemas['Role'];
export type Problem = Schemas['Problem'];

export interface List<T> {
  items: T[];
  next: string | null;
  total: number;
}

export type Setup = Schemas['Setup'];
export type Session = Schemas['Session'];
export type User = Schemas['User'];

export type Overview = Schemas['Overview'];
export type CustomerRow = Schemas['CustomerRow'];
export type SiteRow = Schemas['SiteRow'];

/** What is edited; an answer always holds all of it. */
export type SiteConfigInput = Required<Schemas['SiteSettings']> & { revision: number };
export type SiteConfig = Required<Schemas['SiteSettings']> & Schemas['SiteConfig'];

export type CredentialKind = Schemas['CredentialKind'];
export type SecurityLevel = Schemas['SecurityLevel'];
export type AuthProtocol = Schemas['AuthProtocol'];
export type PrivProtocol = Schemas['PrivProtocol'];
export type Credential = Schemas['Credential'];
export type CredentialInput = Schemas['CreateCredential'];
export type CredentialChange = Schemas['UpdateCredential'];

export type Discovery = Schemas['Discovery'];
export type DiscoveryProbe = Schemas['ProbeDiscovery'];
export type DiscoveredAddress = Schemas['DiscoveredAddress'];

export type JoinTokenCreated = Schemas['CreatedJoinToken'];
export type JoinToken = Schemas['JoinTokenProgress'];

export type Probe = Schemas['Probe'];
export type Ledger = Schemas['Ledger'];

export type DeviceRow = Schemas['DeviceRow'];
export type DeviceList = Schemas['DevicePage'];
export type Device = Schemas['Device'];
export type Interface = Schemas['Interface'];
export type Reading = Schemas['Reading'];
export type DeviceReadings = Schemas['DeviceReadings'];
export type Neighbour = Schemas['Neighbour'];
export type Event = Schemas['Event'];

export type Range = Schemas['Range'];
/** `points` are `[ms since 1970, mean, min, max]`; the console puts nulls where a line has to break. */
export type Series = Omit<Schemas['RangeSeries'], 'points' | 'increases' | 'anchors'> & {
  points: (number | null)[][];
};
export type Gap = Schemas['RangeGap'];
export type Top = Schemas['Top'];
export type TopItem = Schemas['TopEntry'];

export type Incident = Schemas['Incident'];

export type EmailSettings = Schemas['EmailSettings'];
export type WebhookSettings = Schemas['WebhookSettings'];
export type Channel = Schemas['Channel'];
export type ChannelInput = Schemas['CreateChannel'];
export type ChannelChange = Schemas['UpdateChannel'];

export type HealthReport = Schemas['HealthReport'];
export type AuditEntry = Schemas['AuditEntry'];
