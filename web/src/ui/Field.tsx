import { type ReactNode, useId } from 'react';
import { Glyph } from './Glyph';

interface Common {
  label: ReactNode;
  help?: ReactNode;
  wrong?: string | undefined;
}

/** A labelled control with its help and what is wrong with it. */
export function Field({
  label,
  help,
  wrong,
  children,
}: Common & {
  children: (props: { id: string; 'aria-describedby'?: string; 'aria-invalid'?: boolean }) => ReactNode;
}) {
  const id = useId();
  const about = wrong ? `${id}-wrong` : help ? `${id}-help` : undefined;
  return (
    <div className="field">
      <label className="name" htmlFor={id}>
        {label}
      </label>
      {children({ id, 'aria-describedby': about, 'aria-invalid': wrong ? true : undefined })}
      {wrong ? (
        <span className="wrong" id={`${id}-wrong`} role="alert">
          <Glyph shape="critical" />
          {wrong}
        </span>
      ) : (
        help && <small id={`${id}-help`}>{help}</small>
      )}
    </div>
  );
}

interface TextProps extends Common {
  value: string;
  onChange: (value: string) => void;
  type?: 'text' | 'password' | 'email' | 'url';
  mono?: boolean;
  placeholder?: string;
  autoComplete?: string;
  disabled?: boolean;
  rows?: number;
  list?: string;
  autoFocus?: boolean;
}

export function TextField({
  label,
  help,
  wrong,
  value,
  onChange,
  mono,
  rows,
  type = 'text',
  ...rest
}: TextProps) {
  const { autoFocus, ...input } = rest;
  const className = `input lg${mono ? ' mono' : ''}`;
  return (
    <Field label={label} help={help} wrong={wrong}>
      {(props) =>
        rows ? (
          <textarea
            {...props}
            {...input}
            className={className}
            rows={rows}
            value={value}
            onChange={(event) => onChange(event.target.value)}
          />
        ) : (
          <input
            {...props}
            {...input}
            // biome-ignore lint/a11y/noAutofocus: the first field of a dialog the person just opened
            autoFocus={autoFocus}
            className={className}
            type={type}
            value={value}
            spellCheck={mono ? false : undefined}
            onChange={(event) => onChange(event.target.value)}
          />
        )
      }
    </Field>
  );
}

interface SelectProps<T extends string> extends Common {
  value: T;
  onChange: (value: T) => void;
  options: readonly { value: T; text: string }[];
  disabled?: boolean;
}

export function SelectField<T extends string>({
  label,
  help,
  wrong,
  value,
  onChange,
  options,
  disabled,
}: SelectProps<T>) {
  return (
    <Field label={label} help={help} wrong={wrong}>
      {(props) => (
        <select
          {...props}
          className="input lg"
          value={value}
          disabled={disabled}
          onChange={(event) => {
            const picked = options.find((option) => option.value === event.target.value);
            if (picked) onChange(picked.value);
          }}
        >
          {options.map((option) => (
            <option key={option.value} value={option.value}>
              {option.text}
            </option>
          ))}
        </select>
      )}
    </Field>
  );
}
